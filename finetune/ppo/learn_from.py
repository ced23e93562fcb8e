"""From roll-outs to what is minimised: rewards, advantages, and the objectives of the two models."""

from dataclasses import dataclass

import numpy as np

from finetune.data.pieces import AnswerPieces
from finetune.objectives.advantages import (
    Doubles,
    answer_rewards,
    generalised_advantages,
    group_relative,
    leave_one_out,
    token_rewards,
    whiten,
)
from finetune.objectives.clipped_policy import ClippedPolicy, Weighing, by_token
from finetune.objectives.clipped_values import ClippedValues
from finetune.ppo.rollouts import RollOuts
from finetune.ppo_section import Advantage, PpoSection

COUNTS: dict[Advantage, Weighing] = {"critic": "token", "leave-one-out": "answer", "group": "answer's mean"}


@dataclass(frozen=True)
class Objectives:
    """What the models of a run minimise in the updates of an iteration.

    Attributes:
        policy, critic: of each; the latter None without one.
    """

    policy: ClippedPolicy
    critic: ClippedValues | None


def final_scores(rollouts: RollOuts, section: PpoSection) -> Doubles:
    """(A,) what each answer is worth, in the measure that `beta` is a cost in: whitened over all answers of the
    iteration if the recipe says so, less what an unfinished one costs."""
    scores = whiten(rollouts.scores) if section.whiten else rollouts.scores
    return np.asarray(scores - section.unfinished_penalty * ~rollouts.finished)


def objectives_of(rollouts: RollOuts, pieces: AnswerPieces, section: PpoSection) -> Objectives:
    """The objectives of an iteration, the same on every process."""
    scores, apart, lengths = final_scores(rollouts, section), rollouts.log_probs - rollouts.reference, rollouts.lengths
    critic, beta, kl = None, rollouts.beta, 0.0
    if section.advantage == "critic":
        rewards = token_rewards(scores, apart, beta, lengths)
        estimates = generalised_advantages(rewards, rollouts.values, lengths, *section.gae)
        advantages = whiten(estimates[0])
        critic = ClippedValues(pieces, rollouts.values, estimates[1], section.clip)
    elif section.advantage == "leave-one-out":
        advantages = by_token(leave_one_out(answer_rewards(scores, apart, beta, lengths), rollouts.answers), pieces)
    else:  # whose cost of leaving the start is in the loss
        advantages, kl = by_token(group_relative(scores, rollouts.answers), pieces), beta
    counts = COUNTS[section.advantage]
    reference = rollouts.reference if kl else None
    return Objectives(
        ClippedPolicy(pieces, rollouts.log_probs, advantages, section.clip, counts, kl, reference), critic
    )
