"""The reward model's objective: the preferred answer's score above the other's (Bradley and Terry 1952).

LLaMA 2 (Touvron et al. 2023, section 3.2.2): -log sigmoid(chosen - rejected - margin), read at an answer's last token.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from finetune.data.batches import MicroBatch
from finetune.data.token_data import TokenData
from finetune.llama.model import Head, Llama
from finetune.objectives.objective import UpdateShare
from finetune.objectives.pair_facts import PairFacts

# By the recipe's `reward.margins`, of the grades 0 to 3 (Touvron et al. 2023, table 27), then of a pair without one.
MARGINS = {
    "none": (0.0, 0.0, 0.0, 0.0, 0.0),
    "small": (0.0, 1 / 3, 2 / 3, 1.0, 0.0),
    "large": (0.0, 1.0, 2.0, 3.0, 0.0),
}


def answer_scores(hidden_TD: Tensor, score: nn.Module, batch: MicroBatch) -> Tensor:
    """(A,) the score of each answer, read at its last token: in float32 where the layer's weights are."""
    assert batch.answers is not None
    return scores_at(hidden_TD, score, batch.answers.ends)


def scores_at(hidden_TD: Tensor, score: nn.Module, places_E: Tensor) -> Tensor:
    """(E,) what a score layer reads at some places in T: in float32 where the layer's weights are."""
    with torch.autocast(hidden_TD.device.type, enabled=False):
        # One token at least: every process must reach the layer, whatever it has to train on.
        read_ED = hidden_TD[places_E] if len(places_E) else hidden_TD[:1]
        weight = getattr(score, "weight", read_ED)
        scores_E: Tensor = score(read_ED.to(weight.dtype))[:, 0]
    return scores_E if len(places_E) else scores_E[:0] + 0.0 * scores_E.sum()


@dataclass
class Reward:
    """The objective of a reward model; a pair counts 1.

    Attributes:
        margins: see `RewardSection`.
        safety: weight of the cross-entropy of sigmoid(score) with an answer's safety, a mean over the pair's two.
        labels: (answers,) int8 of all answers of the data: whether each is safe.
        grades: (documents,) int8.
    """

    margins: str
    safety: float
    labels: npt.NDArray[np.int8]
    grades: npt.NDArray[np.int8]
    seen: PairFacts = field(default_factory=PairFacts)

    def divisor(self, data: TokenData, documents: npt.NDArray[np.int64]) -> float:
        return float(len(documents))

    def before(self, share: UpdateShare) -> None:
        self.seen.forget()

    def around(self, model: Llama, batch: MicroBatch) -> AbstractContextManager[None]:
        return nullcontext()

    def head(self, batch: MicroBatch, passes: int | None) -> Head:
        return partial(self._loss, batch=batch)

    def facts(self, total: Callable[[Tensor], Tensor]) -> dict[str, float]:
        return self.seen.facts(total)

    def _loss(self, hidden_TD: Tensor, score: nn.Module, batch: MicroBatch) -> Tensor:
        """() the sum of the pairs' losses, float64."""
        assert batch.answers is not None
        scores_A = answer_scores(hidden_TD, score, batch).double()
        grades_P = torch.from_numpy(self.grades[batch.numbers]).to(scores_A.device)
        margins_P = torch.tensor(MARGINS[self.margins], dtype=torch.float64, device=scores_A.device)[grades_P.long()]
        pairs_P2 = scores_A.view(-1, 2)
        loss = -logsigmoid(pairs_P2[:, 0] - pairs_P2[:, 1] - margins_P).sum()
        labels_A = torch.from_numpy(self.labels[batch.answers.numbers]).to(scores_A.device)
        if self.safety:
            known = labels_A >= 0
            wrong = binary_cross_entropy_with_logits(scores_A[known], labels_A[known].double(), reduction="sum")
            loss = loss + self.safety * wrong / 2
        self.seen.note_pairs(scores_A.detach(), None, grades_P)
        return loss
