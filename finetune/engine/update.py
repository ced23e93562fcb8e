"""One optimizer step: forward, backward, and what happens when memory runs out or a gradient is not a number.

Every process walks its share of the update's sequences in micro-batches, sums the objective's losses, and divides by
its divisor of the whole update. That number is known before the first forward pass, so the loss and its gradient are
the same for every micro-batch size and number of processes.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from finetune.data.batches import (
    MicroBatch,
    PackedRow,
    UpdatePlan,
    make_micro_batch,
    micro_batches_of_rank,
)
from finetune.data.token_data import TokenData
from finetune.engine.cut_smaller import MicroRows, until_it_fits
from finetune.engine.optimizer import InBackward
from finetune.engine.worker import Worker
from finetune.objectives.objective import Objective, UpdateShare
from finetune.parallel.pipeline import Pipeline


@dataclass(frozen=True)
class UpdateFacts:
    """What is known after an update.

    Attributes:
        loss: the objective's sum over its divisor, over the whole update and all processes; of `NextToken` nats per
            trained token.
        grad_norm: global norm of the gradient before clipping; NaN or infinite if the update was skipped for it.
        tokens, trained_tokens: over all processes.
        skipped: whether the gradient was not finite, so that the weights did not change.
        objective_facts: what the objective alone knows.
    """

    loss: float
    grad_norm: float
    tokens: int
    trained_tokens: int
    skipped: bool
    objective_facts: dict[str, float] = field(default_factory=dict)


def run_update(
    worker: Worker,
    plan: UpdatePlan,
    update: int,
    lr: float,
    objective: Objective,
    stopped: Callable[[], bool],
    settle: Callable[[], None],
) -> UpdateFacts | None:
    """Train on the sequences of one update.

    All that is random in it is a function of the seed, the update and the rank, so that it can be done again: after
    a kill, or in smaller pieces when it does not fit into memory. The optimizer's step does not know the rank.

    Args:
        worker: this process.
        plan: which documents make the update.
        update: its 0-based number.
        lr: learning rate.
        objective: what is minimised.
        stopped: asked between micro-batches; True drops the unfinished update.
        settle: called before the weights change; it waits for the checkpoint that is being written, so that a kill
            never loses it and this update, too.

    Returns:
        None if it was dropped; the weights are then as before.

    Raises:
        UserError: a single document does not fit into memory, or `settle` raises it.
    """
    data, rows = plan.data, plan.rows(update)
    documents = np.concatenate(rows)
    divisor = objective.divisor(data, documents)
    for group in worker.optimizer.param_groups:
        group["lr"] = lr

    def accumulate(micro_rows: MicroRows) -> float | None:
        torch.manual_seed(int(np.random.SeedSequence([plan.seed, update, worker.rank]).generate_state(1)[0]))
        objective.before(make_share(worker, plan, documents, micro_rows))
        if worker.pipeline is None:
            return _accumulate(worker, plan, micro_rows, objective, divisor, stopped, settle)
        return _accumulate_in_stages(worker, worker.pipeline, plan, micro_rows, objective, divisor)

    together = 1 if worker.context is None else worker.context.size
    loss_sum = until_it_fits(worker, data, lambda: rows_of_worker(worker, data, rows, together), accumulate)
    if loss_sum is None:
        worker.forget_gradients()
        return None
    settle()
    finite = math.isfinite(loss_sum)
    if finite or not isinstance(worker.optimizer, InBackward):
        norm, stepped = worker.step()
    else:
        worker.forget_gradients()
        norm, stepped = math.nan, False
    return UpdateFacts(
        loss=loss_sum / divisor,
        grad_norm=norm,
        tokens=int(data.lengths[documents].sum()),
        trained_tokens=data.trained_tokens(documents),
        skipped=not stepped,
        objective_facts=objective.facts(worker.sum),
    )


def rows_of_worker(worker: Worker, data: TokenData, rows: Sequence[PackedRow], together: int = 1) -> MicroRows:
    """This process's micro-batches of some sequences.

    Args:
        worker: this process.
        data: all documents.
        rows: the sequences.
        together: how many processes have the same.
    """
    rank, ranks = worker.rank // together, worker.ranks // together
    return micro_batches_of_rank(rows, data.lengths, rank, ranks, worker.micro_tokens)


def make_share(worker: Worker, plan: UpdatePlan, documents: PackedRow, micro_rows: MicroRows) -> UpdateShare:
    """What an objective may look at before the update.

    Args:
        worker: this process.
        plan: holds all documents.
        documents: (n,) those of the whole update.
        micro_rows: from `rows_of_worker`.
    """

    def micro_batches() -> Iterator[MicroBatch]:
        return (make_micro_batch(plan.data, rows, worker.accelerator.device) for rows in micro_rows)

    return UpdateShare(plan.data, documents, micro_batches, worker.score, worker.passes, worker.sum)


def _accumulate(
    worker: Worker,
    plan: UpdatePlan,
    micro_rows: MicroRows,
    objective: Objective,
    divisor: float,
    stopped: Callable[[], bool],
    settle: Callable[[], None],
) -> float | None:
    """Gradients of all micro-batches; return the objective's sum over all processes, None if stopped."""
    device, passes = worker.accelerator.device, worker.passes
    loss_sum = torch.zeros((), device=device)
    for index, rows in enumerate(micro_rows):
        if stopped():
            return None
        batch = make_micro_batch(plan.data, rows, device, worker.shape(plan.capacity), worker.context)
        last = index == len(micro_rows) - 1
        with worker.accumulating(last), objective.around(worker.unwrapped, batch):
            loss = worker.forward(batch, objective.head(batch, passes))
            loss_sum = loss_sum + loss.detach()
            if last and isinstance(worker.optimizer, InBackward):
                if not torch.isfinite(loss_sum):
                    break  # there is no step to skip later
                settle()
            # Gradients are averaged over the ranks; multiplying by their number turns that into the sum.
            worker.backward(loss * (worker.ranks / divisor))
    return float(worker.sum(loss_sum))


def _accumulate_in_stages(
    worker: Worker, pipeline: Pipeline, plan: UpdatePlan, micro_rows: MicroRows, objective: Objective, divisor: float
) -> float:
    """As `_accumulate`, of a model whose layers are cut into stages: the sum is known to the last, and told to all."""
    device, shape = worker.accelerator.device, worker.shape(plan.capacity)
    loss_sum = torch.zeros((), device=device)

    def forward(batch: MicroBatch, hidden_TD: Tensor | None) -> Tensor:
        nonlocal loss_sum
        with objective.around(worker.unwrapped, batch) if pipeline.first else nullcontext():
            out = worker.forward(batch, objective.head(batch, None), hidden_TD)
        if not pipeline.last:
            return out
        loss_sum = loss_sum + out.detach()
        return out * (worker.ranks / divisor)

    def backward(out: Tensor, slope_TD: Tensor | None, last: bool) -> None:
        with worker.accumulating(last):
            worker.backward(out, slope_TD)

    batches = (make_micro_batch(plan.data, rows, device, shape) for rows in micro_rows)
    pipeline.train(len(micro_rows), batches, forward, backward)
    return float(worker.sum(loss_sum))
