"""A quick fingerprint of a model's weights, by which a run and an adapter know their base again."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from camelid.errors import UserError
from camelid.files.read import read_json
from finetune.folders import weights

BASE = "base.json"  # in run folders and adapter folders
BLOCKS, BLOCK = 16, 256  # of each tensor: so many stretches, evenly spread, of so many numbers


def weights_fingerprint(folder: str | Path) -> str:
    """A hash of every tensor's name, type and shape, and of a sample of its numbers.

    It reads some megabytes of a model of any size: weights that were trained on, or are another model's, differ in
    nearly all numbers. The folder's other files, and how the tensors are spread over files, make no difference.

    Raises:
        UserError: there are no weights, or a shard is missing.
    """
    digest = hashlib.sha256()
    for name, read in sorted(weights.open_tensors(folder).items()):
        tensor = read()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(_sample(tensor.reshape(-1)))
    return digest.hexdigest()


def base_record(folder: str | Path) -> dict[str, str]:
    """What `base.json` says of a base: `path` as it was named, and `weights`, its fingerprint."""
    return {"path": str(folder), "weights": weights_fingerprint(folder)}


def require_base_of_adapter(adapter: str | Path, base: str | Path) -> None:
    """Refuse an adapter on other weights than it was trained on; where it does not say which those were, any will do.

    Raises:
        UserError: names the base that it was trained on.
    """
    path = Path(adapter) / BASE
    if not path.is_file():  # of another trainer, or of version 0.2 or before
        return
    record = read_json(path)
    if record.get("weights") not in (None, weights_fingerprint(base)):
        trained_on = record.get("path")
        raise UserError(f"{base}: other weights than those that {adapter} was trained on ({trained_on}); take these")


def _sample(numbers: Tensor) -> bytes:
    last = max(0, numbers.numel() - BLOCK)
    starts = sorted({index * last // (BLOCKS - 1) for index in range(BLOCKS)})
    blocks = [numbers[start : start + BLOCK].view(torch.uint8).numpy().tobytes() for start in starts]
    return b"".join(blocks)
