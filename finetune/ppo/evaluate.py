"""What a policy answers to held-out prompts, and what that is worth."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from camelid.files.read import read_jsonl
from camelid.files.write import AppendLog
from finetune.engine.evaluate import Validation
from finetune.objectives.advantages import Doubles
from finetune.ppo.collect import AnswerMaker, answered_of, capacity_of
from finetune.ppo.draw import draw_seed
from finetune.ppo.measure import measure_log_probs
from finetune.ppo.models import PpoModels
from finetune.ppo.overrated import overrated_line
from finetune.ppo.prompts import PpoPrompt
from finetune.ppo.rewards import Rewards
from finetune.ppo.rollouts import rollout_data
from finetune.ppo.verify import Answered
from finetune.preference.evaluate import SAMPLES, VALIDATION
from finetune.recipe import PpoRecipe

PROMPTS = 64  # held-out prompts that are answered at an evaluation, once each,
SHOWN = 8  # and how many of the answers `samples.jsonl` gets
HELD_OUT = 1 << 30  # for their seeds, a prompt's place that no iteration has


class Evaluator:
    """Evaluates a policy on held-out prompts, always the same with the same seeds.

    Args:
        models: of the run.
        maker: samples and rewards.
        rewards: of the recipe.
        gold: the reward that is only looked at; None if there is none.
        prompts: that are held out.
        recipe: of the run.
    """

    def __init__(
        self,
        models: PpoModels,
        maker: AnswerMaker,
        rewards: Rewards,
        gold: Rewards | None,
        prompts: Sequence[PpoPrompt],
        recipe: PpoRecipe,
    ) -> None:
        self._models, self._maker, self._rewards, self._gold = models, maker, rewards, gold
        self._prompts, self._recipe, self._folder = prompts[:PROMPTS], recipe, Path(recipe.run.output)

    def evaluate(self, done: int) -> Validation:
        """Answer the prompts; every process must call it.

        `validation.jsonl` gets the means and each prompt's reward, `samples.jsonl` some answers. The loss that decides
        which checkpoint is the best is minus gold, or minus the reward if there is none.

        Args:
            done: updates done.
        """
        seeds = [draw_seed(self._recipe.run.seed, 0, HELD_OUT, number) for number in range(len(self._prompts))]
        self._maker.sampler.refresh()
        written, scores = self._maker.answer(self._prompts, seeds, self._scores)
        answered = [answered_of(prompt, text) for prompt, text in zip(self._prompts, written, strict=True)]
        own = scores if self._gold is None else scores[:-1]
        reward = self._rewards.worth(own, answered)
        gold = None if self._gold is None else scores[-1]
        line: dict[str, Any] = {"update": done, "reward": float(reward.mean()), "kl": self._kl(answered)}
        line |= {} if gold is None else {"gold": float(gold.mean())}
        lengths = [len(text.ids) for text in written]
        line |= {"sampled_tokens": float(np.mean(lengths)), "finished": float(np.mean([t.finished for t in written]))}
        said = {f"held_out_{name}": value for name, value in line.items() if name != "update"}
        line |= {"each_reward": reward.tolist()} | ({} if gold is None else {"each_gold": gold.tolist()})
        if self._models.policy.accelerator.is_main_process:
            self._write(done, line, answered, reward)
        return Validation(-float((reward if gold is None else gold).mean()), said)

    def _scores(self, answered: list[Answered]) -> Doubles:
        """(rewards, A) by the recipe's rewards, and by gold in the last row."""
        own = self._rewards.scores(answered)
        if self._gold is None:
            return own
        return np.concatenate([own, self._gold.worth(self._gold.scores(answered), answered)[None]])

    def _kl(self, answered: Sequence[Answered]) -> float:
        """Nats an answer that the policy is from its start."""
        prompts, answers = [each.prompt.ids for each in answered], [each.ids for each in answered]
        data = rollout_data(prompts, answers, capacity_of(self._recipe))
        now = measure_log_probs(self._models.policy, data)
        with self._models.reference() as worker:
            before = measure_log_probs(worker, data)
        return float((now - before).sum() / len(answers))

    def _write(self, done: int, line: dict[str, Any], answered: Sequence[Answered], reward: Doubles) -> None:
        with AppendLog(self._folder / VALIDATION) as log:
            log.append(line)
        tokenizer = self._maker.sampler.tokenizer
        with AppendLog(self._folder / SAMPLES) as log:
            log.append_all(
                {
                    "update": done,
                    "prompt": tokenizer.decode(each.prompt.ids),
                    "answer": each.text,
                    "tokens": len(each.ids),
                    "reward": float(worth),
                }
                for each, worth in zip(answered[:SHOWN], reward, strict=False)
            )
        if "gold" in line and (said := overrated_line([one for _, one in read_jsonl(self._folder / VALIDATION)])):
            print(f"camelid: warning: {said}", file=sys.stderr, flush=True)
