"""Whether two runs are one: the same losses, gradient norms and weights."""

from typing import Any

import pytest
import torch

from tests.finetune.runs import metrics, tensors

TOLERANCE = 1e-5


def assert_same(
    ours: dict[str, Any], truth: dict[str, Any], file: str = "model/model.safetensors", tokens: bool = True
) -> None:
    """Every update's loss, gradient norm (to 1e-5 of it) and tokens, and every weight of the saved file to 1e-5."""
    for mine, theirs in zip(metrics(ours), metrics(truth), strict=True):
        for name in ("loss", "grad_norm"):
            assert mine[name] == pytest.approx(theirs[name], rel=TOLERANCE), (name, mine["update"])
        assert mine["trained_tokens"] == theirs["trained_tokens"]
        assert not tokens or mine["tokens"] == theirs["tokens"]
    weights = tensors(truth, file)
    assert tensors(ours, file).keys() == weights.keys()
    for name, tensor in tensors(ours, file).items():
        torch.testing.assert_close(tensor, weights[name], rtol=0, atol=TOLERANCE, msg=name)
