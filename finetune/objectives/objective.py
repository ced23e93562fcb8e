"""What a run minimises, as the loop of an update sees it.

An update's loss is one sum over everything in it, divided by a number that is known before the first forward pass.
So neither the loss nor its gradient depends on how the update is cut into micro-batches and processes. An objective
says what is summed and what it is divided by; `run_update` does the rest.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from finetune.data.batches import MicroBatch
from finetune.data.token_data import TokenData
from finetune.llama.model import Head, Llama


@dataclass(frozen=True)
class UpdateShare:
    """One process's share of an update, before it is trained on.

    Every process has as many micro-batches as the others (some may be empty), so that an objective which looks at
    all of its own, in order, keeps the collective operations of all processes in step.

    Attributes:
        data: all documents of the run.
        documents: (n,) those of the whole update, on all processes.
        micro_batches: makes this process's micro-batches, one after the other, as they will be trained on.
        score: a forward pass with the weights as they are, without gradients and dropout; returns what the head makes.
        passes: as for `Objective.head`.
        total: the sum of a tensor over the shares of all processes.
    """

    data: TokenData
    documents: npt.NDArray[np.int64]
    micro_batches: Callable[[], Iterator[MicroBatch]]
    score: Callable[[MicroBatch, Head], Tensor]
    passes: int | None
    total: Callable[[Tensor], Tensor]


class Objective(Protocol):
    """What is minimised. Its methods are called in this order, in every update, on every process alike."""

    def divisor(self, data: TokenData, documents: npt.NDArray[np.int64]) -> float:
        """What the update's sum is divided by: trained tokens, pairs, ...; greater than 0.

        Args:
            data: all documents of the run.
            documents: (n,) those of the update, on all processes.
        """
        ...

    def before(self, share: UpdateShare) -> None:
        """What must be known of the update before its first forward pass with a gradient.

        Reference log-probabilities and statistics over the whole update have their place here, and so does
        forgetting what was noted in the update before. An update that did not fit into memory begins again here.
        """
        ...

    def around(self, model: Llama, batch: MicroBatch) -> AbstractContextManager[None]:
        """What surrounds the forward and backward pass of a micro-batch, such as noise on its embeddings."""
        ...

    def head(self, batch: MicroBatch, passes: int | None) -> Head:
        """What a forward pass makes of the final hidden states: this micro-batch's part of the sum, () float.

        It is called inside the forward pass with (hidden_TD, lm_head), so that sharding wrappers see all of it, and
        must reach every weight even where the micro-batch trains nothing, for all processes sum all gradients.

        Args:
            batch: the micro-batch.
            passes: how often it must call `lm_head`, the same on every process, where each call is a collective
                operation (ZeRO-3); None where it may call it as often as it likes.
        """
        ...

    def facts(self, total: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """What this objective alone knows of the update it has just seen, for `metrics.jsonl`.

        Args:
            total: sums a tensor over the shares of all processes.
        """
        ...
