"""DPO and its forms: a pair's loss of how much more the policy has gained for the chosen answer than for the other."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from finetune.objectives.policy import AnswerSums
from finetune.preference_sections import DpoSection


@dataclass(frozen=True)
class Dpo:
    """See `DpoSection`."""

    section: DpoSection
    wants_reference = True
    wants_distance = False

    def rewards(self, sums: AnswerSums) -> Tensor:
        gained = sums.gained if self.section.loss == "sigmoid" else sums.gained / sums.tokens
        return self.section.beta * gained

    def loss(self, sums: AnswerSums) -> Tensor:
        section, rewards = self.section, self.rewards(sums).view(-1, 2)
        difference = rewards[:, 0] - rewards[:, 1]
        if section.loss == "ipo":
            losses = (difference / section.beta - 1 / (2 * section.beta)).square()
        else:
            wrong = section.label_smoothing
            losses = -(1 - wrong) * logsigmoid(difference) - wrong * logsigmoid(-difference)
        return losses.sum() - section.sft * sums.means[::2].sum()
