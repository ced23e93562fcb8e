"""Log-probabilities of all answers by the model that training starts from: found once, kept beside the tokens.

They are all that training needs of the reference, so there is no second model. With an adapter the reference is the
model with the adapter switched off.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from io import BytesIO

import numpy as np
import numpy.typing as npt
import torch

from camelid.files.write import write_bytes
from camelid.progress import Progress
from finetune.data.batches import make_micro_batch, micro_batches_of_rank
from finetune.data.packing import pack_documents
from finetune.data.preference_data import PreferenceData
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
    with adapter_off(worker, recipe.adapter):
        found = compute_log_probs(worker, data, recipe.data.max_length, quiet)
    if worker.accelerator.is_main_process:
        content = BytesIO()
        np.save(content, found)
        write_bytes(path, content.getvalue())
    worker.patience.wait()
    return found


def compute_log_probs(worker: Worker, data: PreferenceData, capacity: int, quiet: bool) -> npt.NDArray[np.float64]:
    """(answers,) float64 log-probability of every answer by the model as it is, on every process; all must call it.

    Args:
        worker: this process.
        data: the answers.
        capacity: tokens of a sequence; no document has more.
        quiet: no progress display.
    """
    tokens, device = data.tokens, worker.accelerator.device
    rows = pack_documents(tokens.lengths, capacity)
    mine = micro_batches_of_rank(rows, worker.rank, worker.ranks, worker.micro_batch)
    sums = torch.zeros(len(data.pieces.answers), dtype=torch.float64, device=device)
    with Progress("reference", len(mine), quiet or not worker.accelerator.is_main_process) as bar:
        for done, part in enumerate(mine, start=1):
            batch = make_micro_batch(tokens, part, device)
            assert batch.answers is not None
            head = partial(answer_log_probs, batch=batch, passes=worker.passes(capacity))
            sums[torch.from_numpy(batch.answers.numbers).to(device)] = worker.score(batch, head)
            bar.update(done, "log-probabilities of the model that training starts from")
    found: npt.NDArray[np.float64] = worker.sum(sums).cpu().numpy()
    return found


@contextmanager
def adapter_off(worker: Worker, adapter: AdapterSection) -> Iterator[None]:
    """The model that training starts from, where an adapter is trained: as it is without the adapter."""
    model = worker.accelerator.unwrap_model(worker.model)
    with nullcontext() if adapter.kind == "none" else model.disable_adapter():
        yield
