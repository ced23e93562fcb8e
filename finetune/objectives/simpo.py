"""SimPO: the chosen answer's mean log-probability a token should exceed the rejected one's by a margin."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from finetune.objectives.policy import AnswerSums
from finetune.preference_sections import SimpoSection


@dataclass(frozen=True)
class Simpo:
    """See `SimpoSection`; equation 6 of Meng et al. 2024."""

    section: SimpoSection
    wants_reference = False
    wants_distance = False

    def rewards(self, sums: AnswerSums) -> Tensor:
        return self.section.beta * sums.means

    def loss(self, sums: AnswerSums) -> Tensor:
        rewards = self.rewards(sums).view(-1, 2)
        return -logsigmoid(rewards[:, 0] - rewards[:, 1] - self.section.margin).sum()
