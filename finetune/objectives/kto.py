"""KTO: a wanted answer should gain more than the policy has moved anyway, an unwanted one less."""

from dataclasses import dataclass

import torch
from torch import Tensor

from finetune.objectives.policy import AnswerSums
from finetune.preference_sections import KtoSection


@dataclass(frozen=True)
class Kto:
    """See `KtoSection`; equations 7 and 8 of Ethayarajh et al. 2024, without the constant term."""

    section: KtoSection
    wants_reference = True
    wants_distance = True

    def rewards(self, sums: AnswerSums) -> Tensor:
        return self.section.beta * sums.gained

    def loss(self, sums: AnswerSums) -> Tensor:
        section, above = self.section, self.rewards(sums) - self.section.beta * sums.far
        wanted, unwanted = sums.labels == 1, sums.labels == 0
        losses = section.wanted * torch.sigmoid(-above[wanted]).sum()
        return losses + section.unwanted * torch.sigmoid(above[unwanted]).sum()
