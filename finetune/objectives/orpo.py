"""ORPO: the chosen answer is learned, and its odds are pushed above those of the rejected one."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from finetune.objectives.policy import AnswerSums
from finetune.preference_sections import OrpoSection


@dataclass(frozen=True)
class Orpo:
    """See `OrpoSection`; equations 3 to 7 of Hong et al. 2024. An answer's probability is its mean one a token."""

    section: OrpoSection
    wants_reference = False
    wants_distance = False

    def rewards(self, sums: AnswerSums) -> Tensor:
        return self.section.weight * _log_odds(sums.means)

    def loss(self, sums: AnswerSums) -> Tensor:
        odds = _log_odds(sums.means).view(-1, 2)
        learned = -sums.means[::2].sum()
        return learned - self.section.weight * logsigmoid(odds[:, 0] - odds[:, 1]).sum()


def _log_odds(means: Tensor) -> Tensor:
    """log(p / (1 - p)) of p = exp(means)."""
    return means - torch.log(-torch.expm1(means))
