"""The first half of an iteration: answers are sampled, measured, checked, rewarded and written down."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import gather_object

from camelid.errors import UserError
from camelid.files.write import AppendLog
from finetune.data.batches import MicroBatch
from finetune.data.packing import Ints
from finetune.data.token_data import TokenData
from finetune.engine.worker import Worker
from finetune.llama.model import Head
from finetune.objectives.advantages import Doubles
from finetune.objectives.clipped_values import token_values
from finetune.objectives.log_probs import token_surprises
from finetune.ppo.check_sampler import SamplerTally, require_same_policy
from finetune.ppo.draw import draw_prompts, draw_seed
from finetune.ppo.measure import measure, measure_log_probs
from finetune.ppo.models import PpoModels
from finetune.ppo.prompts import PpoPrompt
from finetune.ppo.rewards import Rewards
from finetune.ppo.rollouts import RollOuts, SampledText, rollout_data
from finetune.ppo.sampler import PolicySampler
from finetune.ppo.verify import Answered
from finetune.recipe import PpoRecipe

LOG = "rollouts.jsonl"  # in the run folder: every answer that was learned from


@dataclass
class PpoState:
    """What goes on from one iteration to the next, besides the models.

    Attributes:
        beta: cost of a nat in the next iteration.
        tally: of what was sampled.
    """

    beta: float
    tally: SamplerTally = field(default_factory=SamplerTally)


@dataclass(frozen=True)
class AnswerMaker:
    """What samples and rewards, its work shared over the processes.

    Attributes:
        worker: this process, with the policy.
        sampler: writes the answers.
    """

    worker: Worker
    sampler: PolicySampler

    def answer(
        self, prompts: Sequence[PpoPrompt], seeds: Sequence[int], scores: Callable[[list[Answered]], Doubles]
    ) -> tuple[list[SampledText], Doubles]:
        """Answers to prompts and their scores, (rewards, A), on every process; each does a share of the prompts.

        Args:
            prompts: the same one again for several answers to it.
            seeds: of the answers.
            scores: says what answers are worth; see `Rewards.scores`.

        Raises:
            UserError: the sampler or a reward failed, on any process.
        """
        mine = range(self.worker.rank, len(prompts), self.worker.ranks)
        written: list[SampledText] = []
        found, reason = np.zeros((0, 0)), None
        try:
            written = self.sampler.write([prompts[index].ids for index in mine], [seeds[index] for index in mine])
            found = scores([answered_of(prompts[index], text) for index, text in zip(mine, written, strict=True)])
        except UserError as error:  # the others must hear of it, or they would wait for ever
            reason = str(error)
        self.worker.patience.wait(reason)
        numbered = [
            (index, text, found[:, place]) for place, (index, text) in enumerate(zip(mine, written, strict=True))
        ]
        if self.worker.accelerator.num_processes > 1:
            numbered = gather_object(numbered)
        numbered.sort(key=lambda each: each[0])
        return [text for _, text, _ in numbered], np.stack([column for *_, column in numbered], axis=1)


def answered_of(prompt: PpoPrompt, text: SampledText) -> Answered:
    """An answer as rewards see it."""
    return Answered(prompt, text.ids, text.text, text.finished)


class Collector:
    """Collects the roll-outs of a run.

    Args:
        models: of the run.
        maker: samples and rewards.
        rewards: of the recipe.
        prompts: to train on.
        recipe: of the run, whose folder gets the log.
    """

    def __init__(
        self, models: PpoModels, maker: AnswerMaker, rewards: Rewards, prompts: Sequence[PpoPrompt], recipe: PpoRecipe
    ) -> None:
        self._models, self._maker, self._rewards, self._prompts = models, maker, rewards, prompts
        self._recipe, self._section = recipe, recipe.ppo
        main = models.policy.accelerator.is_main_process
        self._log = AppendLog(Path(recipe.run.output) / LOG) if main else None

    def collect(self, iteration: int, update: int, state: PpoState) -> tuple[RollOuts, TokenData, dict[str, float]]:
        """The roll-outs of an iteration, as they are and as data, and what is known of them.

        Args:
            iteration: from 0.
            update: updates done.
            state: gets the sampled tokens.

        Raises:
            UserError: the sampler is not the policy, or a reward failed.
        """
        section, seed, began = self._section, self._recipe.run.seed, time.perf_counter()
        places = draw_prompts(seed, iteration, section.batch // section.answers, len(self._prompts))
        asked = [self._prompts[place] for place in places for _ in range(section.answers)]
        seeds = [
            draw_seed(seed, iteration, place, answer)
            for place in range(places.size)
            for answer in range(section.answers)
        ]
        self._maker.sampler.refresh()
        written, scores = self._maker.answer(asked, seeds, self._rewards.scores)
        sampling = time.perf_counter() - began
        answered = [answered_of(prompt, text) for prompt, text in zip(asked, written, strict=True)]
        worth = self._rewards.worth(scores, answered)
        data = self.data_of(places, [text.ids for text in written])
        surprises, reference, values = self._measure(data)
        state.tally.add(*surprises.T)
        sampled = np.array([logprob for text in written for logprob in text.log_probs])
        gap = require_same_policy(iteration, sampled, surprises[:, 0], state.tally, self._recipe.run.precision)
        if self._log is not None:
            self._log.append_all(self._records(iteration, update, answered, scores, worth))
        rollouts = RollOuts(
            prompts=places,
            ids=np.array([token for text in written for token in text.ids], dtype=np.int64),
            lengths=np.array([len(text.ids) for text in written], dtype=np.int64),
            finished=np.array([text.finished for text in written]),
            scores=worth,
            log_probs=surprises[:, 0].copy(),
            reference=reference,
            values=values,
            beta=state.beta,
        )
        facts = iteration_facts(rollouts, scores, list(self._section.rewards))
        facts |= {"entropy": float(surprises[:, 1].mean()), "sampler_gap": gap, "sampler_off": state.tally.off}
        return rollouts, data, {**facts, "seconds_sampling": round(sampling, 4)}

    def data_of(self, places: Ints, answers: Sequence[Sequence[int]]) -> TokenData:
        """Roll-outs as documents."""
        prompts = [self._prompts[place].ids for place in places]
        return rollout_data(prompts, answers, capacity_of(self._recipe))

    def _measure(self, data: TokenData) -> tuple[Doubles, Doubles, Doubles]:
        """What policy, start and critic say of each token: (N, 3), (N,), (N,), the last empty without a critic."""
        models = self._models

        def surprises(batch: MicroBatch) -> Head:
            return partial(token_surprises, batch=batch)

        def expected(batch: MicroBatch) -> Head:
            return partial(token_values, batch=batch)

        found = measure(models.policy, data, surprises, 3)
        with models.reference() as worker:
            reference = measure_log_probs(worker, data)
        values = np.zeros(0) if models.critic is None else measure(models.critic, data, expected, 1)[:, 0]
        return found, reference, values

    def _records(
        self, iteration: int, update: int, answered: Sequence[Answered], scores: Doubles, worth: Doubles
    ) -> list[dict[str, Any]]:
        names = list(self._section.rewards)
        return [
            {
                "update": update,
                "iteration": iteration + 1,
                "prompt": each.prompt.id,
                "answer": each.text,
                "finished": each.finished,
                "ids": list(each.ids),
                "scores": dict(zip(names, column.tolist(), strict=True)),
                "reward": float(reward),
            }
            for each, column, reward in zip(answered, scores.T, worth, strict=True)
        ]


def capacity_of(recipe: PpoRecipe) -> int:
    """The most tokens of a prompt with its answers."""
    return recipe.data.max_length + recipe.ppo.answers * recipe.ppo.max_new_tokens


def iteration_facts(rollouts: RollOuts, scores: Doubles, names: Sequence[str]) -> dict[str, float]:
    """What `metrics.jsonl` says of an iteration: raw rewards and their spread (whitening hides one that no longer tells
    answers apart), nats an answer from the start, and how long answers are."""
    apart = rollouts.log_probs - rollouts.reference
    facts = {"reward": float(rollouts.scores.mean()), "reward_deviation": float(rollouts.scores.std())}
    if len(names) > 1:
        facts |= {f"reward_{name}": float(row.mean()) for name, row in zip(names, scores, strict=True)}
    return facts | {
        "kl": float(apart.sum() / rollouts.lengths.size),
        "beta": rollouts.beta,
        "answer_tokens": float(rollouts.lengths.mean()),
        "finished": float(rollouts.finished.mean()),
    }
