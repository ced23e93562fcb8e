"""What models say of roll-outs: forward passes without gradients, whose work is shared over the processes."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from finetune.data.batches import MicroBatch, make_micro_batch, micro_batches_of_rank
from finetune.data.packing import pack_documents
from finetune.data.token_data import TokenData
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
    """
    assert data.pieces is not None
    device = worker.accelerator.device
    rows = pack_documents(data.lengths, int(data.lengths.max()))
    found = torch.zeros(int(data.pieces.answers.sum()), columns, dtype=torch.float64, device=device)
    for part in micro_batches_of_rank(rows, worker.rank, worker.ranks, worker.micro_batch):
        batch = make_micro_batch(data, part, device)
        said = worker.score(batch, head_of(batch)).double()
        if batch.answers is not None and batch.answers.numbers.size:
            places = data.pieces.token_places(batch.answers.numbers)
            found[torch.from_numpy(places).to(device)] = said.view(-1, columns)
    return np.asarray(worker.sum(found).cpu().numpy())


def measure_log_probs(worker: Worker, data: TokenData) -> Doubles:
    """(tokens of all answers,) float64 log-probability of each by a policy, nats; all processes must call it."""

    def log_probs(batch: MicroBatch) -> Head:
        return partial(token_log_probs, batch=batch, passes=None)

    return measure(worker, data, log_probs, 1)[:, 0]
