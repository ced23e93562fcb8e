"""Linear layers whose products oneDNN makes, against float64."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from finetune.llama.linear import LEAST, Linear, product, transposed_product

SHAPES = [(130, 192, 128), (130, 128, 192), (2, 1200, 1000), (4, 8, 12)]  # (M, K, N); the last is too small to gain


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outputs_and_gradients_are_those_of_float64(shape: tuple[int, int, int]) -> None:
    rows, width, out = shape
    generator = torch.Generator().manual_seed(0)
    layer = Linear(width, out, bias=False)
    plain = nn.Linear(width, out, bias=False, dtype=torch.float64)
    plain.weight.data = layer.weight.detach().double()
    x = torch.randn(rows, width, generator=generator).requires_grad_()
    wide_x = x.detach().double().requires_grad_()
    slope = torch.randn(rows, out, generator=generator)
    for each, given in ((layer, x), (plain, wide_x)):
        (each(given) * slope.to(given.dtype)).sum().backward()
    pairs = [(layer(x), plain(wide_x)), (x.grad, wide_x.grad), (layer.weight.grad, plain.weight.grad)]
    assert all(_apart(ours, truth) < 2e-6 for ours, truth in pairs)
    assert layer.weight.grad is not None and layer.weight.grad.shape == (out, width)
    with torch.inference_mode():
        assert torch.equal(layer(x), layer(x.detach()))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_without_gradients(shape: tuple[int, int, int]) -> None:
    rows, width, out = shape
    a, b, c = torch.randn(rows, width), torch.randn(out, width), torch.randn(rows, out)
    assert _apart(product(a, b), a.double() @ b.double().T) < 2e-6
    assert _apart(product(c, b.T), c.double() @ b.double()) < 2e-6
    assert _apart(transposed_product(c, a), c.double().T @ a.double()) < 2e-6


def test_what_gains_goes_through_onednn_and_nothing_else_does(monkeypatch: Any) -> None:
    calls: list[tuple[int, ...]] = []

    def counted(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        calls.append((*x.shape, weight.shape[0]))
        return linear(x, weight)

    monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", counted)
    large, small = Linear(256, 128, bias=False), Linear(16, 16, bias=False)
    x = torch.randn(LEAST // 256 // 128, 256)
    large(x)
    assert calls == [(64, 256, 128)]
    large(x[1:])
    small(torch.randn(64, 16))
    Linear(256, 128)(x)  # with biases
    large.double()(x.double())
    large.bfloat16()(x.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert large.float()(x).dtype == torch.bfloat16
    assert len(calls) == 1


def _apart(ours: Tensor | None, truth: Tensor | None) -> float:
    assert ours is not None and truth is not None
    return float((ours.detach().double() - truth.detach()).norm() / truth.detach().norm())
