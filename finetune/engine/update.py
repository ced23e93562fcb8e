"""One optimizer step: forward, backward, and what happens when memory runs out or a gradient is not a number."""

import math
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from camelid.errors import UserError
from finetune.data.batches import PackedRow, Plan, make_micro_batch, micro_batches_of_rank, split_micro_batch
from finetune.data.token_data import TokenData
from finetune.engine.optimizer import InBackward
from finetune.engine.worker import Worker
from finetune.objectives.neftune import noisy_embeddings


@dataclass(frozen=True)
class UpdateFacts:
    """What is known after an update.

    Attributes:
        loss: nats per trained token, over the whole update and all processes.
        grad_norm: global norm of the gradient before clipping; NaN or infinite if the update was skipped for it.
        tokens, trained_tokens: over all processes.
        skipped: whether the gradient was not finite, so that the weights did not change.
    """

    loss: float
    grad_norm: float
    tokens: int
    trained_tokens: int
    skipped: bool


def run_update(
    worker: Worker,
    data: TokenData,
    plan: Plan,
    update: int,
    lr: float,
    micro_batch: int,
    clip_norm: float,
    label_smoothing: float,
    neftune: float,
    seed: int,
    stopped: Callable[[], bool],
    settle: Callable[[], None],
) -> UpdateFacts | None:
    """Train on the sequences of one update.

    All that is random in it is a function of the seed, the update and the rank, so that it can be done again: after
    a kill, or in smaller pieces when it does not fit into memory.

    Args:
        worker: this process.
        data: all documents.
        plan: which of them make the update.
        update: its 0-based number.
        lr: learning rate.
        micro_batch: sequences of a forward pass.
        clip_norm: largest gradient norm; 0 does not clip.
        label_smoothing: see `OptimSection`.
        neftune: see `OptimSection`.
        seed: of the run.
        stopped: asked between micro-batches; True drops the unfinished update.
        settle: called before the weights change; it waits for the checkpoint that is being written, so that a kill
            never loses it and this update, too.

    Returns:
        None if it was dropped; the weights are then as before.

    Raises:
        UserError: a single document does not fit into memory, or `settle` raises it.
    """
    rows = plan.rows(update)
    documents = np.concatenate(rows)
    weight = data.trained_weight(documents)
    for group in worker.optimizer.param_groups:
        group["lr"] = lr
    while True:
        torch.manual_seed(int(np.random.SeedSequence([seed, update, worker.rank]).generate_state(1)[0]))
        micro_batches = [
            part
            for batch in micro_batches_of_rank(rows, worker.rank, worker.ranks, micro_batch)
            for part in split_micro_batch(batch, data.lengths, worker.splits)
        ]
        try:
            loss_sum = _accumulate(
                worker,
                data,
                micro_batches,
                weight,
                label_smoothing,
                neftune,
                worker.passes(micro_batch, plan.capacity),
                stopped,
                settle,
            )
            break
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
        _split(worker, micro_batches, reason)
    if loss_sum is None:
        worker.forget_gradients()
        return None
    settle()
    finite = math.isfinite(loss_sum)
    if finite or not isinstance(worker.optimizer, InBackward):
        norm, stepped = worker.step(clip_norm)
    else:
        worker.forget_gradients()
        norm, stepped = math.nan, False
    return UpdateFacts(
        loss=loss_sum / weight,
        grad_norm=norm,
        tokens=int(data.lengths[documents].sum()),
        trained_tokens=data.trained_tokens(documents),
        skipped=not stepped,
    )


def _accumulate(
    worker: Worker,
    data: TokenData,
    micro_batches: Sequence[Sequence[PackedRow]],
    weight: float,
    label_smoothing: float,
    neftune: float,
    passes: int | None,
    stopped: Callable[[], bool],
    settle: Callable[[], None],
) -> float | None:
    """Gradients of all micro-batches; return the sum of token losses over all processes, None if stopped."""
    device = worker.accelerator.device
    loss_sum = torch.zeros((), device=device)
    for index, rows in enumerate(micro_batches):
        if stopped():
            return None
        batch = make_micro_batch(data, rows, device)
        noise = noisy_embeddings(worker.unwrapped, batch.documents.lengths, neftune) if neftune else nullcontext()
        last = index == len(micro_batches) - 1
        with worker.accumulating(last), noise:
            with worker.computing():
                loss = worker.loss(batch, passes, label_smoothing)
            loss_sum += loss.detach()
            if last and isinstance(worker.optimizer, InBackward):
                if not torch.isfinite(loss_sum):
                    break  # there is no step to skip later
                settle()
            # Gradients are averaged over the ranks; multiplying by their number turns that into the sum.
            worker.backward(loss * (worker.ranks / weight))
    return float(worker.sum(loss_sum))


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def _split(worker: Worker, micro_batches: Sequence[Sequence[PackedRow]], reason: str) -> None:
    """Cut micro-batches in two from now on and forget what was accumulated.

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
    print(
        f"out of memory: micro-batches are cut into {worker.splits} parts from here on; the update stays the same",
        flush=True,
    )
