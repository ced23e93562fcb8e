"""What models say of roll-outs: forward passes without gradients, whose work is shared over the processes."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from finetune.data.batches import MicroBatch, make_micro_batch, micro_batches_of_rank
from finetune.data.token_data import TokenData
from finetune.engine.cut_smaller import MicroRows, until_it_fits
from finetune.engine.worker import Worker
from finetune.llama.model import Head
from finetune.objectives.advantages import Doubles
from finetune.objectives.log_probs import token_log_probs


def measure(worker: Worker, data: TokenData, head_of: Callable[[MicroBatch], Head], columns: int) -> Doubles:
    """(tokens of all answers, columns) float64 what a head says of each, on every process; all must call it.

    Args:
        worker: this process, with the model that is asked.
        data: the roll-outs.
        head_of: makes (N, columns) of the final hidden states of a micro-batch, N tokens of answers.
        columns: numbers of a token.

    Raises:
        UserError: memory does not hold a single document, or not a micro-batch of one of several processes.
    """
    rows = list(np.arange(data.documents)[:, None])
    found = until_it_fits(
        worker,
        data,
        lambda: micro_batches_of_rank(rows, data.lengths, worker.rank, worker.ranks, worker.micro_tokens),
        lambda parts: _measured(worker, data, parts, head_of, columns),
    )
    return np.asarray(worker.sum(found).cpu().numpy())


def _measured(
    worker: Worker, data: TokenData, parts: MicroRows, head_of: Callable[[MicroBatch], Head], columns: int
) -> Tensor:
    """The same of this process's micro-batches; 0 of all other tokens."""
    assert data.pieces is not None
    device = worker.accelerator.device
    found = torch.zeros(int(data.pieces.answers.sum()), columns, dtype=torch.float64, device=device)
    for part in parts:
        batch = make_micro_batch(data, part, device)
        said = worker.score(batch, head_of(batch)).double()
        if batch.answers is not None and batch.answers.numbers.size:
            places = data.pieces.token_places(batch.answers.numbers)
            found[torch.from_numpy(places).to(device)] = said.view(-1, columns)
    return found


def measure_log_probs(worker: Worker, data: TokenData) -> Doubles:
    """(tokens of all answers,) float64 log-probability of each by a policy, nats; all processes must call it."""

    def log_probs(batch: MicroBatch) -> Head:
        return partial(token_log_probs, batch=batch, passes=None)

    return measure(worker, data, log_probs, 1)[:, 0]
