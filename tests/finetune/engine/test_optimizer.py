"""The optimizers: which weights decay, the same steps inside the backward pass, 8 bits."""

from typing import Any

import pytest
import torch

from finetune.engine.optimizer import decay_groups, make_optimizer
from finetune.recipe import OptimSection, PreferenceOptimSection
from tests.finetune.runs import metrics, run, tensors, variant


def test_decay_groups_spare_vectors() -> None:
    matrix, vector = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    groups = {group["weight_decay"]: group["params"] for group in decay_groups([matrix, vector], 0.1)}
    assert groups[0.1][0] is matrix and groups[0.0][0] is vector


@pytest.mark.parametrize(
    ("section", "share"), [(OptimSection(lr=0.1), 0.999), (PreferenceOptimSection(lr=0.1, eps=1e-5), 0.5)]
)
def test_eps_is_the_recipes(section: OptimSection, share: float) -> None:
    """AdamW's first step is lr g / (|g| + eps): half of lr where the gradient is as small as eps."""
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.full((2, 2), 1e-5)
    make_optimizer([weight], section, pure=False).step()
    torch.testing.assert_close(weight.data, torch.full((2, 2), -0.1 * share), rtol=1e-5, atol=0)


def test_steps_inside_the_backward_pass_change_nothing(toy_recipe: dict[str, Any]) -> None:
    usual = variant(toy_recipe, "usual", optim__clip_norm=0.0)
    inside = variant(usual, "inside", optim__in_backward=True)
    assert run(usual) == run(inside) == 0
    for mine, theirs in zip(metrics(inside), metrics(usual), strict=True):
        assert mine["loss"] == theirs["loss"]
        assert mine["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-5)
    truth = tensors(usual)
    assert all(torch.equal(tensor, truth[name]) for name, tensor in tensors(inside).items())


@pytest.mark.parametrize("optimizer", ["adamw-8bit", "paged-adamw-8bit"])
def test_eight_bits(toy_recipe: dict[str, Any], optimizer: str) -> None:
    pytest.importorskip("bitsandbytes")
    if optimizer.startswith("paged") and not torch.cuda.is_available():
        pytest.skip("paged memory needs CUDA")
    ours = variant(toy_recipe, "eight", optim__optimizer=optimizer)
    assert run(ours) == 0
    assert metrics(ours)[-1]["loss"] < metrics(ours)[0]["loss"]
