"""A quick fingerprint of a model's weights, by which a run knows its base again."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from finetune.folders import weights

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


def _sample(numbers: Tensor) -> bytes:
    last = max(0, numbers.numel() - BLOCK)
    starts = sorted({index * last // (BLOCKS - 1) for index in range(BLOCKS)})
    blocks = [numbers[start : start + BLOCK].view(torch.uint8).numpy().tobytes() for start in starts]
    return b"".join(blocks)
