"""Passes that bring one token a sequence, recorded once as CUDA graphs and then played back.

A small pass keeps the host busier than the GPU: hundreds of kernels are launched for a few milliseconds of work. A
graph launches them all at once. It has fixed shapes and fixed memory, so rows and room are rounded up: rows that are
not in use compute what nobody reads, and places that hold nothing are masked as those to come are.

Shapes: B rows in use, R >= B rows of a recording, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from finetune.generate.slots import Slots, round_up
from finetune.llama.config import LlamaConfig


class RecordedSteps:
    """Makes the steps of a running batch.

    Args:
        call: the model.
        slots: its cache.
        device: where both are. On another one than a GPU, nothing is recorded: each step makes the same pass.
    """

    def __init__(self, call: Callable[..., Tensor], slots: Slots, device: torch.device) -> None:
        self._call, self._slots, self._device = call, slots, device
        self._steps: dict[tuple[int, int], _Step | None] = {}
        self._version = -1  # of the cache's memory that they were recorded in
        self._pool: Any = None  # memory that recordings share, as only one plays at a time

    def logits(self, last: Sequence[int]) -> Tensor:
        """Bring one more token of every row in use, and return the logits of what follows it.

        Args:
            last: (B) token ids.

        Returns:
            (B, V) logits, which the next step writes over.
        """
        if self._version != self._slots.version:
            self._steps, self._version, self._pool = {}, self._slots.version, None
        places = self._slots.advance()
        rows = min(power_of_two(len(last)), self._slots.rows)
        used = min(round_up(max(places) + 1), self._slots.room)
        inputs_2R = torch.zeros(2, rows, dtype=torch.long)
        inputs_2R[:, : len(last)] = torch.tensor([last, places])
        if (rows, used) not in self._steps:
            # Once as it is: kernels are loaded and libraries take their memory, which a recording may not.
            self._steps[rows, used] = None
            return self._pass(inputs_2R.to(self._device), used)[: len(last)]
        step = self._steps[rows, used]
        if step is None:
            step = self._steps[rows, used] = self._recorded(rows, used)
        step.inputs.copy_(inputs_2R)
        return step.play()[: len(last)]

    def _pass(self, inputs_2R: Tensor, used: int) -> Tensor:
        """One pass in fixed shapes; it asks the device for nothing."""
        tokens_R, places_R = inputs_2R
        documents = self._slots.announce(places_R, used)
        return self._call(tokens_R, places_R, documents, cache=self._slots)

    def _recorded(self, rows: int, used: int) -> "_Step":
        inputs_2R = torch.zeros(2, rows, dtype=torch.long, device=self._device)
        if self._device.type != "cuda":
            return _Step(inputs_2R, lambda: self._pass(inputs_2R, used))
        graph = torch.cuda.CUDAGraph()
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        # Other threads may go on: a server reads requests and counts tokens meanwhile.
        with torch.cuda.graph(graph, self._pool, capture_error_mode="thread_local"):
            logits_RV = self._pass(inputs_2R, used)

        def play() -> Tensor:
            graph.replay()
            return logits_RV

        return _Step(inputs_2R, play)


@dataclass(frozen=True)
class _Step:
    """A recording: where its tokens and places are written to, and what plays it."""

    inputs: Tensor  # (2, R)
    play: Callable[[], Tensor]


def can_record(model: nn.Module, config: LlamaConfig, device: torch.device) -> bool:
    """Whether a model's steps do the same on the device each time, with no other process and nothing for the host."""
    plain = all(
        weight.device == device and weight.is_floating_point() and not isinstance(weight, DTensor)
        for weight in model.parameters()
    )
    return device.type == "cuda" and plain and config.rope_type != "dynamic"


def power_of_two(number: int) -> int:
    """The smallest one that is not below a positive number."""
    return 1 << (number - 1).bit_length()
