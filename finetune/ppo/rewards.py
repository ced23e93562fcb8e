"""What answers are worth: by reward models, by what can be verified, or by LLaMA 2's rule of two reward models."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from camelid.errors import UserError
from conversations.reward_rule import HELPFUL, SAFE, llama2_reward
from finetune.data.preference_documents import EncodedAnswers
from finetune.objectives.advantages import Doubles
from finetune.ppo.verify import COMMAND, VERIFIABLE, Answered, Rewarder, command_reward, function_reward
from finetune.preference.reward_model import RewardModel


class Rewards:
    """The rewards of a recipe, ready to be asked.

    Args:
        rewards: what an answer is worth, by name: see `PpoSection`.
        tokenizer: of the policy, whose ids the reward models read.
        section: of the recipe that names them, for errors.

    Raises:
        UserError: a reward is none of what `PpoSection` says, or a reward model has another tokenizer than the policy.
    """

    def __init__(self, rewards: Mapping[str, str], tokenizer: Any, section: str = "ppo.rewards") -> None:
        self._section = section
        self._rewards = {name: _open(f"{section}.{name}", where, tokenizer) for name, where in rewards.items()}

    def scores(self, answered: Sequence[Answered]) -> Doubles:
        """(rewards, A) what each answer is worth by each reward, in the recipe's order."""
        found = np.zeros((len(self._rewards), len(answered)))
        for index, (name, rewarder) in enumerate(self._rewards.items()):
            found[index] = rewarder(answered) if answered else []
            broken = [each for each, score in zip(answered, found[index], strict=True) if not math.isfinite(score)]
            if broken:
                raise UserError(
                    f"{self._section}.{name}: no finite number for an answer to prompt {broken[0].prompt.id}"
                )
        return found

    def worth(self, scores: Doubles, answered: Sequence[Answered]) -> Doubles:
        """(A,) the reward of each answer: by LLaMA 2's rule of `helpful` and `safe`, of any others the sum."""
        names = list(self._rewards)
        if set(names) != {HELPFUL, SAFE}:
            return np.asarray(scores.sum(0))
        helpful, safe = scores[names.index(HELPFUL)], scores[names.index(SAFE)]
        rows = zip(helpful.tolist(), safe.tolist(), answered, strict=True)
        return np.array([llama2_reward(h, s, bool(each.prompt.meta.get("is_safety"))) for h, s, each in rows])


def critic_start(rewards: Mapping[str, str], policy: str) -> str:
    """The folder that a critic begins as: the (helpful) reward model's; without any the policy's, with a new layer."""
    models = {name: where for name, where in rewards.items() if is_reward_model(where)}
    return models.get(HELPFUL) or next(iter(models.values()), policy)


def is_reward_model(where: str) -> bool:
    """Whether a reward is a model's."""
    return where not in VERIFIABLE and not where.startswith(COMMAND) and ".py:" not in where


def _open(field: str, where: str, tokenizer: Any) -> Rewarder:
    if where in VERIFIABLE:
        return VERIFIABLE[where]
    if where.startswith(COMMAND):
        return command_reward(where)
    if ".py:" in where:
        return function_reward(where)
    if not Path(where).is_dir():
        raise UserError(
            f"{field} = {where!r}: no such folder; name a reward model's folder, {', '.join(VERIFIABLE)}, "
            "FILE.py:FUNCTION or `command: PROGRAM`"
        )
    return _model_reward(field, where, tokenizer)


def _model_reward(field: str, where: str, tokenizer: Any) -> Rewarder:
    """A reward model reads the very ids that were sampled: nothing is decoded and encoded again."""
    model = RewardModel(where)
    if model.vocabulary != tokenizer.get_vocab():
        raise UserError(f"{field} = {where!r}: its tokenizer is not the policy's, so it reads other tokens")

    def reward(answered: Sequence[Answered]) -> list[float]:
        encoded = [
            EncodedAnswers(np.array(each.prompt.ids, np.int32), (np.array(each.ids, np.int32),)) for each in answered
        ]
        found: list[float] = []
        for batch in model.batched(encoded):
            found += [score for [score] in model.score([each for each in batch if not isinstance(each, str)])]
        return found

    return reward
