"""The validation loss, and what the model says by now."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch

from finetune.data.batches import PackedRow, make_micro_batch, micro_batches_of_rank
from finetune.data.token_data import TokenData
from finetune.engine.worker import Worker
from finetune.generate.decode import generate
from finetune.generate.sampling import Sampling

SAMPLES = 3  # held-out prompts that are answered at each evaluation
SAMPLE_TOKENS = 128  # of each answer


@contextmanager
def _evaluating(worker: Worker) -> Iterator[None]:
    worker.model.eval()
    try:
        yield
    finally:
        worker.model.train()


@torch.no_grad()
def validation_loss(
    worker: Worker, data: TokenData, rows: Sequence[PackedRow], micro_batch: int, capacity: int
) -> float:
    """Nats per trained token (weights included) over the held-out documents, without smoothing or noise."""
    passes = worker.passes(micro_batch, capacity)
    device = worker.accelerator.device
    total = torch.zeros((), device=device)
    with _evaluating(worker), worker.computing():
        for micro_rows in micro_batches_of_rank(rows, worker.rank, worker.ranks, micro_batch):
            batch = make_micro_batch(data, micro_rows, device)
            total += worker.loss(batch, passes)
    return float(worker.sum(total)) / data.trained_weight(np.concatenate(rows))


def sample_answers(worker: Worker, data: TokenData, tokenizer: Any, end_ids: list[int]) -> list[dict[str, str]]:
    """Answer the first prompts of the first held-out conversations, with the likeliest tokens.

    Returns:
        `prompt`, `answer` and `reference` of each; none where no process holds the whole model, and none but on the
        main process.
    """
    whole = worker.sharding in ("none", "zero1", "zero2") and worker.ranks == worker.accelerator.num_processes
    if not whole or not worker.accelerator.is_main_process:
        return []
    exchanges = (_exchange(data, document) for document in data.validation)
    fitting = ((prompt, said) for prompt, said in exchanges if len(prompt) < worker.unwrapped.config.context)
    chosen = list(islice(fitting, SAMPLES))
    with _evaluating(worker):
        answers = generate(
            worker.unwrapped,
            [prompt for prompt, _ in chosen],
            [0] * len(chosen),
            tokenizer,
            end_ids,
            Sampling(max_new_tokens=SAMPLE_TOKENS, temperature=0.0),
        )
    return [
        {
            "prompt": tokenizer.decode(prompt),
            "answer": answer.text.strip(),
            "reference": tokenizer.decode(said, skip_special_tokens=True).strip(),
        }
        for (prompt, said), answer in zip(chosen, answers, strict=True)
    ]


def _exchange(data: TokenData, document: int) -> tuple[list[int], list[int]]:
    """Token ids before the first trained token of a document, and of the trained ones that follow."""
    start, end = data.bounds[document], data.bounds[document + 1]
    trained = np.asarray(data.weights[start:end]) > 0
    first = int(trained.argmax())
    stop = first + int(np.append(~trained[first:], True).argmax())
    ids = data.ids[start:end]
    return ids[:first].tolist(), ids[first:stop].tolist()
