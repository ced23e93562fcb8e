"""Micro-batches cut smaller where memory does not hold them."""

import sys
from collections.abc import Sequence

import torch

from camelid.errors import UserError
from finetune.data.batches import PackedRow
from finetune.engine.optimizer import InBackward
from finetune.engine.worker import Worker


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether it says that a GPU or the machine has no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def cut_smaller(worker: Worker, micro_batches: Sequence[Sequence[PackedRow]], reason: str) -> None:
    """Cut micro-batches in two from now on and forget what was accumulated.

    Args:
        worker: this process.
        micro_batches: its own, of which one did not fit.
        reason: what was said then.

    Raises:
        UserError: they are single documents already, or other processes wait in a collective operation.
    """
    if worker.accelerator.num_processes > 1 or isinstance(worker.optimizer, InBackward):
        message = f"out of memory ({reason}); halve optim.micro_batch or set model.recompute=full, then go on"
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
    worker.splits *= 2
    worker.unwrapped.set_compiled(False)  # the parts differ in shape
    print(
        f"out of memory: micro-batches are cut into {worker.splits} parts from here on; the update stays the same",
        flush=True,
    )
