"""Many small gradients of bfloat16 weights add up to what they are: bfloat16 itself stops at 256 ones."""

import pytest
import torch

from finetune.engine.optimizer import InBackward
from finetune.engine.wide_gradients import WideGradients
from finetune.optimizers.table import OPTIMIZERS

PASSES = 300


def test_sum_is_float32() -> None:
    weight, wide = torch.nn.Parameter(torch.zeros(3, dtype=torch.bfloat16)), WideGradients()
    frozen = torch.nn.Parameter(torch.zeros(3, dtype=torch.bfloat16), requires_grad=False)
    wide.watch([weight, frozen])
    for _ in range(2):
        for _ in range(PASSES):
            weight.sum().backward()
            assert weight.grad is None  # or torch's compiler refuses it
        wide.hand_over()
        assert weight.grad is not None and weight.grad.dtype == torch.float32
        assert weight.grad.tolist() == [PASSES] * 3
        weight.grad = None
    weight.sum().backward()
    wide.forget()
    wide.hand_over()
    assert weight.grad is None


def test_in_backward_measures_the_float32_sum() -> None:
    weight = torch.nn.Parameter(torch.zeros(4, dtype=torch.bfloat16))
    optimizer = InBackward([{"params": [weight]}], OPTIMIZERS["adamw"].stepping(pure=True).make, {"lr": 1.0})
    for left in reversed(range(PASSES)):
        optimizer.armed = left == 0
        weight.sum().backward()
    assert optimizer.norm() == pytest.approx(PASSES * 2)  # of four weights
    assert weight.tolist() == [-1.0] * 4  # Adam's first step
