"""The validation loss, and what the model says by now."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate.utils import gather_object

from finetune.data.batches import PackedRow, Plan, make_micro_batch
from finetune.data.token_data import TokenData
from finetune.engine.text_scores import TextBytes, score_sources, text_scores
from finetune.engine.update import make_share, rows_of_worker
from finetune.engine.worker import Worker
from finetune.generate.decode import Generated, PromptJob, answer_jobs
from finetune.generate.decoder import Decoder
from finetune.generate.sampling import Sampling
from finetune.generate.slots import round_up
from finetune.objectives.objective import Objective

SAMPLES = 3  # held-out prompts that are answered at each evaluation
SAMPLE_TOKENS = 128  # of each answer, at most


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
    objective.before(make_share(worker, plan, documents, micro_rows))
    passes, device = worker.passes, worker.accelerator.device
    total = torch.zeros((), device=device)
    for part in micro_rows:
        batch = make_micro_batch(data, part, device)
        total = total + worker.score(batch, objective.head(batch, passes))
    return float(worker.sum(total)) / objective.divisor(data, documents)


class Validation(NamedTuple):
    """What an evaluation found.

    Attributes:
        loss: decides which checkpoint is the best.
        facts: what else `metrics.jsonl` is to say of it.
    """

    loss: float
    facts: Mapping[str, Any] = MappingProxyType({})


def validate_by_source(worker: Worker, plan: Plan, rows: Sequence[PackedRow], text: TextBytes) -> Validation:
    """Nats per trained token of held-out sequences, all together and, where their sources are known, of each source.

    Args:
        worker: this process.
        plan: holds the documents.
        rows: from `validation_rows`.
        text: bytes of the tokenizer's tokens.
    """
    micro_rows = rows_of_worker(worker, plan.data, rows)
    device, passes = worker.accelerator.device, worker.passes
    mine = score_sources(plan.data, micro_rows, worker.score, text, device, passes)
    if worker.pipeline is not None and not worker.pipeline.last:  # the last stage has counted it all
        mine = np.zeros_like(mine)
    sums = worker.sum(torch.from_numpy(mine).to(device)).cpu().numpy()
    found = {name: score.to_json() for name, score in text_scores(plan.data.sources, sums).items()}
    return Validation(float(sums[:, 1].sum() / sums[:, 0].sum()), {"by_source": found} if found else {})


def sample_answers(
    worker: Worker, data: TokenData, tokenizer: Any, end_ids: list[int], count: int = SAMPLES
) -> list[dict[str, Any]]:
    """Answer the first prompts of the first held-out conversations or preferences, with the likeliest tokens.

    Every process must call it; they share the prompts.

    Args:
        worker: this process.
        data: holds what is held out.
        tokenizer: of the model.
        end_ids: tokens that end an answer.
        count: prompts.

    Returns:
        `prompt`, `answer`, its `tokens` and the `reference` (of a preference the chosen answer) of each, on every
        process; none under ZeRO-3 and in a pipeline.
    """
    if worker.sharding == "zero3" or worker.pipeline is not None:
        return []
    chats = data.validation
    if data.pieces is None:
        chats = chats[data.are_chats(chats)]
    exchanges = (_exchange(data, int(document)) for document in chats)
    fitting = ((prompt, said) for prompt, said in exchanges if len(prompt) < worker.unwrapped.config.context)
    chosen = list(islice(fitting, count))
    answers = _answer(worker, [prompt for prompt, _ in chosen], tokenizer, end_ids)
    return [
        {
            "prompt": tokenizer.decode(prompt),
            "answer": answer.text.strip(),
            "tokens": len(answer.ids),
            "reference": tokenizer.decode(said, skip_special_tokens=True).strip(),
        }
        for (prompt, said), answer in zip(chosen, answers, strict=True)
    ]


def _answer(worker: Worker, prompts: list[list[int]], tokenizer: Any, end_ids: list[int]) -> list[Generated]:
    """Answer a share of the prompts on each data-parallel rank, and collect them all on every process."""
    gathers = worker.sharding == "fsdp2"  # each pass needs every process's weights
    decoder = Decoder[PromptJob](
        worker.unwrapped,
        tokenizer,
        end_ids,
        SAMPLES,
        SAMPLES * round_up(worker.unwrapped.config.context),
        call=worker.model if gathers else worker.unwrapped,
        device=worker.accelerator.device,
    )
    mine = range(worker.rank, len(prompts), worker.ranks)
    sampling = Sampling(max_new_tokens=SAMPLE_TOKENS, temperature=0.0)
    jobs = [PromptJob(prompts[index], 0, sampling) for index in mine]
    with _evaluating(worker):
        answers = answer_jobs(decoder, jobs, (lambda busy: worker.any(busy)[0]) if gathers else None)
    numbered = list(zip(mine, answers, strict=True))
    if worker.accelerator.num_processes > 1:
        numbered = gather_object(numbered)
    by_index = dict(numbered)  # the processes of a tensor-parallel group have the same ones
    return [by_index[index] for index in range(len(prompts))]


def _exchange(data: TokenData, document: int) -> tuple[list[int], list[int]]:
    """Token ids before the first trained token of a document, and of the trained ones that follow."""
    ids, weights = data.document(document)
    if data.pieces is not None:
        first = int(data.pieces.first[document])
        prompt, answer = int(data.pieces.prompts[first]), int(data.pieces.answers[first])
        return ids[:prompt].tolist(), ids[prompt : prompt + answer].tolist()
    trained = weights > 0
    first = int(trained.argmax())
    stop = first + int(np.append(~trained[first:], True).argmax())
    return ids[:first].tolist(), ids[first:stop].tolist()
