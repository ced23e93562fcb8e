"""Micro-batches cut smaller where memory does not hold them."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from camelid.errors import UserError
from finetune.data.batches import PackedRow
from finetune.data.token_data import TokenData
from finetune.engine.optimizer import InBackward
from finetune.engine.worker import Worker

MicroRows = Sequence[Sequence[PackedRow]]  # the sequences of each micro-batch of one process
T = TypeVar("T")


def until_it_fits(worker: Worker, data: TokenData, cut: Callable[[], MicroRows], run: Callable[[MicroRows], T]) -> T:
    """Run micro-batches, smaller ones if memory does not hold them.

    Args:
        worker: this process.
        data: all documents.
        cut: makes micro-batches of at most `worker.micro_tokens` tokens.
        run: runs them, from the start.

    Raises:
        UserError: they are single documents already, or other processes wait in a collective operation.
    """
    while True:
        micro_batches = cut()
        try:
            return run(micro_batches)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
        _cut_smaller(worker, data, micro_batches, reason)  # out here nothing holds what was computed any more


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether it says that a GPU or the machine has no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def _cut_smaller(worker: Worker, data: TokenData, micro_batches: MicroRows, reason: str) -> None:
    """Make micro-batches of half as many tokens from now on and forget what was accumulated.

    Args:
        worker: this process.
        data: all documents.
        micro_batches: its own, of which one did not fit.
        reason: what was said then.

    Raises:
        UserError: they are single documents already, or other processes wait in a collective operation.
    """
    if worker.accelerator.num_processes > 1 or isinstance(worker.optimizer, InBackward):
        message = f"out of memory ({reason}); lower optim.micro_tokens or set model.recompute=full, then go on"
        if not worker.accelerator.is_main_process:  # which reports its own errors, and waits for this process
            print(f"camelid: error: process {worker.accelerator.process_index}: {message}", file=sys.stderr, flush=True)
        raise UserError(message)
    if all(sum(len(row) for row in rows) <= 1 for rows in micro_batches):
        raise UserError(
            f"out of memory with a single document ({reason}); lower data.max_length, set model.recompute=full, "
            "or train an adapter"
        )
    worker.forget_gradients()
    if worker.accelerator.device.type == "cuda":
        torch.cuda.empty_cache()
    most = max(sum(int(data.lengths[row].sum()) for row in rows) for rows in micro_batches)
    worker.micro_tokens = max(1, min(most, worker.micro_tokens) // 2)
    worker.unwrapped.set_compiled(False)  # a document may be longer, so that they differ in shape
    print(
        f"out of memory: a micro-batch has at most {worker.micro_tokens:,} tokens, or one document, from here on; the "
        "update stays the same",
        flush=True,
    )
