"""The validation loss, and what the model says by now."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch

from finetune.data.batches import PackedRow, Plan, make_micro_batch
from finetune.data.token_data import TokenData
from finetune.engine.update import make_share, rows_of_worker
from finetune.engine.worker import Worker
from finetune.generate.decode import Sampling, generate
from finetune.objectives.objective import Objective

SAMPLES = 3  # held-out prompts that are answered at each evaluation
SAMPLE_TOKENS = 128  # of each answer


@contextmanager
def _evaluating(worker: Worker) -> Iterator[None]:
    worker.model.eval()
    try:
        yield
    finally:
        worker.model.train()


def validation_loss(worker: Worker, plan: Plan, rows: Sequence[PackedRow], objective: Objective) -> float:
    """The objective's sum over its divisor, of held-out sequences; of `NextToken()` nats per trained token.

    Args:
        worker: this process.
        plan: holds the documents.
        rows: from `validation_rows`.
        objective: what is measured; nothing surrounds the forward passes.
    """
    data, documents = plan.data, np.concatenate(rows)
    micro_rows = rows_of_worker(worker, data, rows)
    objective.before(make_share(worker, data, documents, micro_rows))
    passes, device = worker.passes(plan.capacity), worker.accelerator.device
    total = torch.zeros((), device=device)
    for part in micro_rows:
        batch = make_micro_batch(data, part, device)
        total = total + worker.score(batch, objective.head(batch, passes))
    return float(worker.sum(total)) / objective.divisor(data, documents)


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
