"""Log-probabilities of all answers by the model that training starts from: found once, kept beside the tokens.

They are all that training needs of the reference, so there is no second model. With an adapter the reference is the
model with the adapter switched off. A run that is killed meanwhile goes on where it was.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from camelid.files.read import read_jsonl
from camelid.files.write import AppendLog, write_bytes
from camelid.progress import Progress
from finetune.data.batches import PackedRow, cut_micro_batches, make_micro_batch
from finetune.data.packing import pack_documents
from finetune.data.preference_data import PreferenceData
from finetune.engine.cut_smaller import MicroRows, until_it_fits
from finetune.engine.worker import Worker
from finetune.folders.fingerprint import weights_fingerprint
from finetune.objectives.log_probs import answer_log_probs
from finetune.recipe import AdapterSection, PolicyRecipe


def reference_log_probs(
    worker: Worker, data: PreferenceData, recipe: PolicyRecipe, quiet: bool
) -> npt.NDArray[np.float64]:
    """The file beside the tokens, or, if there is none of this base in this precision, what the worker computes.

    Every process must call it, before anything was trained or loaded from a checkpoint.

    Returns:
        (answers,) float64 nats.
    """
    path = data.folder / f"reference-{weights_fingerprint(recipe.model.path)[:16]}-{recipe.run.precision}.npy"
    if path.is_file():
        worker.patience.wait()
        return np.load(path)  # type: ignore[no-any-return]
    log_path = path.with_name(f".{path.name}.{worker.ranks}x{worker.micro_tokens}.jsonl")
    with adapter_off(worker, recipe.adapter):
        found = compute_log_probs(worker, data, quiet, log_path)
    if worker.accelerator.is_main_process:
        content = BytesIO()
        np.save(content, found)
        write_bytes(path, content.getvalue())
        for log in path.parent.glob(f".{path.name}.*.jsonl"):  # of other layouts that broke off, too
            log.unlink()
    worker.patience.wait()
    return found


def compute_log_probs(
    worker: Worker, data: PreferenceData, quiet: bool, log_path: Path | None = None
) -> npt.NDArray[np.float64]:
    """(answers,) float64 log-probability of every answer by the model as it is, on every process; all must call it.

    Args:
        worker: this process.
        data: the answers.
        quiet: no progress display.
        log_path: where the main process notes each step of all processes, so that a run that was killed goes on there
            with the same micro-batches and comes to the same numbers; None notes nothing.
    """
    rows = pack_documents(data.tokens.lengths, worker.micro_tokens)  # a micro-batch each
    steps = [rows[begin : begin + worker.ranks] for begin in range(0, len(rows), worker.ranks)]
    found = np.zeros(len(data.pieces.answers))
    with worker.patience.main_first():
        done = _read_steps(log_path)
    for step, known in zip(steps, done, strict=False):
        found[_answers(data, step)] = known
    main = worker.accelerator.is_main_process
    with (
        Progress("reference", len(steps), quiet or not main, done=len(done)) as bar,
        AppendLog(log_path) if main and log_path else nullcontext() as log,
    ):
        for number, step in enumerate(steps[len(done) :], start=len(done) + 1):
            values = _one_step(worker, data, step)
            found[_answers(data, step)] = values
            if log is not None:
                log.append({"log_probs": values.tolist()})
            bar.update(number, "log-probabilities of the model that training starts from")
    return found


def _answers(data: PreferenceData, step: Sequence[PackedRow]) -> PackedRow:
    """The numbers of the answers of a step, in order."""
    return data.pieces.numbers(np.concatenate(step))


def _one_step(worker: Worker, data: PreferenceData, step: Sequence[PackedRow]) -> npt.NDArray[np.float64]:
    """The log-probabilities of a step's answers, of which every process computes its share."""
    answers = _answers(data, step)
    rows = step[worker.rank :: worker.ranks]

    def measured(parts: MicroRows) -> Tensor:
        log_probs = torch.zeros(len(answers), dtype=torch.float64, device=worker.accelerator.device)
        for part in parts or [[]]:
            batch = make_micro_batch(data.tokens, part, worker.accelerator.device)
            assert batch.answers is not None
            head = partial(answer_log_probs, batch=batch, passes=worker.passes)
            own = torch.from_numpy(np.isin(answers, batch.answers.numbers)).to(log_probs.device)
            log_probs[own] = worker.score(batch, head)
        return log_probs

    def cut() -> MicroRows:
        return cut_micro_batches(rows, data.tokens.lengths, worker.micro_tokens)

    log_probs = until_it_fits(worker, data.tokens, cut, measured)
    values: npt.NDArray[np.float64] = worker.sum(log_probs).cpu().numpy()
    return values


def _read_steps(log_path: Path | None) -> list[list[float]]:
    """The log-probabilities of the steps that were done before the run was killed."""
    if log_path is None or not log_path.is_file():
        return []
    AppendLog(log_path).close()  # cuts off a torn line
    return [line["log_probs"] for _, line in read_jsonl(log_path)]


@contextmanager
def adapter_off(worker: Worker, adapter: AdapterSection) -> Iterator[None]:
    """The model that training starts from, where an adapter is trained: as it is without the adapter."""
    model = worker.accelerator.unwrap_model(worker.model)
    with nullcontext() if adapter.kind == "none" else model.disable_adapter():
        yield
