"""Losses of answers' log-probabilities, each as the token loss with weights that may be negative.

What a loss says of an answer is its slope by the answer's log-probability, which is the sum of its tokens'. So its
gradient is that of the token loss with every token weighted by minus that slope. The log-probabilities, and with them
loss and slopes, are found in the same forward pass, chunk by chunk without a gradient; the logits are never all there.

Shapes: A answers of a micro-batch, in the order of its documents; N trained tokens.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from finetune.data.batches import MicroBatch
from finetune.data.token_data import TokenData
from finetune.llama.model import Head, Llama
from finetune.objectives.log_probs import answer_log_probs
from finetune.objectives.next_token import token_loss
from finetune.objectives.objective import UpdateShare
from finetune.objectives.pair_facts import PairFacts


@dataclass(frozen=True)
class AnswerSums:
    """What a loss knows of the answers of a micro-batch.

    Attributes:
        policy: (A,) float64 log-probability of each by the model that is trained, nats.
        reference: (A,) float64 the same by the model it started from; 0 for a loss that wants none.
        tokens: (A,) float64 tokens of each.
        labels: (A,) int8, see `PreferenceDocument`.
        far: how far the policy is from the reference: the mean over the whole update of what `UpdateStatistic` says.
    """

    policy: Tensor
    reference: Tensor
    tokens: Tensor
    labels: Tensor
    far: float = 0.0

    @property
    def gained(self) -> Tensor:
        """(A,) what the policy adds to the reference's log-probability."""
        return self.policy - self.reference

    @property
    def means(self) -> Tensor:
        """(A,) the policy's log-probability a token."""
        return self.policy / self.tokens


class PolicyLoss(Protocol):
    """A loss of log-probabilities.

    Attributes:
        wants_reference: whether it compares with the model that training starts from.
        wants_distance: whether it wants `AnswerSums.far`.
    """

    @property
    def wants_reference(self) -> bool: ...
    @property
    def wants_distance(self) -> bool: ...

    def loss(self, sums: AnswerSums) -> Tensor:
        """() the sum over the documents; differentiable by `sums.policy`."""
        ...

    def rewards(self, sums: AnswerSums) -> Tensor:
        """(A,) the reward that the policy is of each answer, whose differences the loss looks at."""
        ...


@dataclass
class Policy:
    """The objective of a policy that is trained on preferences; a document counts 1.

    Attributes:
        kind: its loss.
        labels: (answers,) int8 of all answers of the data.
        grades: (documents,) int8.
        reference: (answers,) float64 log-probabilities by the reference; None where the loss wants none.
    """

    kind: PolicyLoss
    labels: npt.NDArray[np.int8]
    grades: npt.NDArray[np.int8]
    reference: npt.NDArray[np.float64] | None = None
    seen: PairFacts = field(default_factory=PairFacts)
    far: float = 0.0

    def divisor(self, data: TokenData, documents: npt.NDArray[np.int64]) -> float:
        return float(len(documents))

    def before(self, share: UpdateShare) -> None:
        self.seen.forget()
        if not self.kind.wants_distance:
            return
        total = torch.zeros(2, dtype=torch.float64)
        for batch in share.micro_batches():
            head = partial(answer_log_probs, batch=batch, passes=share.passes)
            sums = self._sums(batch, share.score(batch, head))
            other = sums.labels < 0
            total += torch.stack([sums.gained[other].sum(), other.sum().double()]).cpu()
            device = batch.input_ids.device
        gained, count = share.total(total.to(device)).tolist()
        self.far = max(0.0, gained / count)

    def around(self, model: Llama, batch: MicroBatch) -> AbstractContextManager[None]:
        return nullcontext()

    def head(self, batch: MicroBatch, passes: int | None) -> Head:
        return partial(self._loss, batch=batch, passes=passes)

    def facts(self, total: Callable[[Tensor], Tensor]) -> dict[str, float]:
        return self.seen.facts(total) | ({"distance": self.far} if self.kind.wants_distance else {})

    def _loss(self, hidden_TD: Tensor, lm_head: nn.Module, batch: MicroBatch, passes: int | None) -> Tensor:
        """() the loss of a micro-batch, with the gradient of the weighted token loss."""
        assert batch.answers is not None
        chances_A = answer_log_probs(hidden_TD.detach(), lm_head, batch, passes)
        with torch.enable_grad():
            sums = self._sums(batch, chances_A.requires_grad_())
            value = self.kind.loss(sums)
            [slopes_A] = torch.autograd.grad(value, chances_A)
        self._note(sums, batch)
        weights_N = -slopes_A[batch.answers.owners].to(torch.promote_types(hidden_TD.dtype, torch.float32))
        moved = token_loss(hidden_TD, lm_head, batch.trained, batch.targets, weights_N, passes=passes)
        return value.detach() + (moved - moved.detach())

    def _sums(self, batch: MicroBatch, policy_A: Tensor) -> AnswerSums:
        assert batch.answers is not None
        numbers, device = batch.answers.numbers, policy_A.device
        reference_A = torch.zeros(len(numbers), dtype=torch.float64)
        if self.reference is not None:
            reference_A = torch.from_numpy(self.reference[numbers])
        labels_A = torch.from_numpy(self.labels[numbers]).to(device)
        return AnswerSums(policy_A, reference_A.to(device), batch.answers.tokens.double(), labels_A, self.far)

    @torch.no_grad()
    def _note(self, sums: AnswerSums, batch: MicroBatch) -> None:
        rewards, means = self.kind.rewards(sums), sums.policy
        if self.kind.wants_distance:  # single answers
            self.seen.note_labels(rewards, means, sums.labels)
        else:
            grades = torch.from_numpy(self.grades[batch.numbers]).to(rewards.device)
            self.seen.note_pairs(rewards, means, grades)
