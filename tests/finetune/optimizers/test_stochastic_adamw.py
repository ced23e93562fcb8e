"""AdamW in bfloat16: unbiased rounding, and updates that keep float32's direction."""

from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.engine.optimizer import decay_groups
from finetune.optimizers.stochastic_adamw import StochasticAdamW, round_stochastically


def random_words(count: int) -> torch.Tensor:
    return torch.randint(-(1 << 31), 1 << 31, (count,), dtype=torch.int32)


def test_rounding_goes_to_a_neighbour_and_is_right_on_average() -> None:
    torch.manual_seed(0)
    value = torch.tensor([1.0 + 0.3 / 128, -3.0 - 0.75 / 64, 2.0**-20 * (1 + 0.1 / 128)])  # so far between neighbours
    draws = 20_000
    rounded = round_stochastically(value.repeat(draws), random_words(3 * draws)).view(draws, 3)
    assert rounded.dtype == torch.bfloat16
    assert all(len(set(numbers)) == 2 for numbers in rounded.T.tolist())
    spacing = torch.tensor([1 / 128, 1 / 64, 2.0**-27])
    error = (rounded.double().mean(0) - value.double()).abs() / spacing
    assert error.max() < 4 * 0.5 / draws**0.5  # four standard errors of a coin


def test_whole_numbers_of_bfloat16_are_kept() -> None:
    exact = torch.randn(1000).bfloat16()
    assert torch.equal(round_stochastically(exact.float(), random_words(1000)), exact)


def test_a_steps_rounding_is_unbiased_and_differs_by_weight_step_and_place() -> None:
    """Equal weights and gradients: the spread of what they become shows the noise, their mean the step."""
    weights = [torch.nn.Parameter(torch.ones(100_000).bfloat16()) for _ in range(2)]
    optimizer = StochasticAdamW([{"params": weights}], lr=1e-3)
    became = []
    for _ in range(2):
        for weight in weights:
            weight.data.fill_(1.0)
            weight.grad = torch.full_like(weight, 0.5)
        optimizer.step()
        became += [weight.detach().double() - 1.0 for weight in weights]
    spacing = 2.0**-8  # of bfloat16 just below 1
    for moved in became:
        assert set(moved.tolist()) == {0.0, -spacing}
        assert float(moved.mean()) == pytest.approx(-1e-3, abs=4 * 0.5 * spacing / 100_000**0.5 + 1e-5)
        halves = (moved[:50_000], moved[50_000:]), (moved[::2], moved[1::2])
        assert all(abs(float(torch.corrcoef(torch.stack(pair))[0, 1])) < 4 / 50_000**0.5 for pair in halves)
    between = torch.corrcoef(torch.stack(became)) - torch.eye(4)
    assert float(between.abs().max()) < 4 / 100_000**0.5


def test_replicas_round_alike() -> None:
    """Whatever each process has drawn before, as dropout does."""
    replicas = []
    for rank in range(2):
        torch.manual_seed(rank)
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 999).bfloat16())
        optimizer = StochasticAdamW([{"params": [weight]}], lr=1e-3)
        for _ in range(3):
            weight.grad = torch.linspace(1, -1, 999).bfloat16()
            optimizer.step()
        replicas.append(weight.detach())
    assert torch.equal(*replicas)


def test_float32_weights_take_adamws_steps() -> None:
    """Without rounding the arithmetic is torch's."""
    torch.manual_seed(0)
    ours, theirs = torch.nn.Parameter(torch.randn(30, 20)), torch.nn.Parameter(torch.empty(30, 20))
    theirs.data.copy_(ours.data)
    options: dict[str, Any] = {"lr": 1e-2, "betas": (0.9, 0.95), "weight_decay": 0.1}
    mine, truth = StochasticAdamW([{"params": [ours]}], **options), torch.optim.AdamW([theirs], **options)
    for _ in range(20):
        ours.grad = torch.randn(30, 20)
        theirs.grad = ours.grad.clone()
        mine.step()
        truth.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_pure_bfloat16_moves_as_float32_does(toy_model: Path) -> None:
    """100 steps at lr 2e-5 on one batch: cosine of the movements >= 0.95 and length within 10%; nearest rounding fails.

    The weights have LLaMA's size (initializer_range 0.02), which is what a step is small against.
    """
    from finetune.folders import weights
    from finetune.llama.attention import Documents

    torch.manual_seed(0)
    ids = torch.randint(0, 400, (256,))
    documents, positions = Documents.from_lengths([256]), torch.arange(256)

    def movement(dtype: torch.dtype, kind: Any) -> torch.Tensor:
        model = weights.load_model(toy_model, dtype=torch.bfloat16).to(dtype)
        start = [weight.detach().double().clone() for weight in model.parameters()]
        optimizer = kind(decay_groups(list(model.parameters()), 0.0), lr=2e-5)
        for _ in range(100):
            logits = model(ids, positions, documents)
            torch.nn.functional.cross_entropy(logits[:-1].float(), ids[1:]).backward()
            optimizer.step()
            optimizer.zero_grad()
        moved = zip(model.parameters(), start, strict=True)
        return torch.cat([(weight.detach().double() - before).flatten() for weight, before in moved])

    truth = movement(torch.float32, torch.optim.AdamW)
    ours = movement(torch.bfloat16, StochasticAdamW)
    cosine = float(torch.nn.functional.cosine_similarity(ours, truth, dim=0))
    print(f"cosine {cosine:.4f}, length {float(ours.norm() / truth.norm()):.4f}")
    assert cosine >= 0.95
    assert float(ours.norm() / truth.norm()) == pytest.approx(1.0, abs=0.1)
    nearest = movement(torch.bfloat16, torch.optim.AdamW)
    assert float((nearest == 0).double().mean()) > 0.5


def test_weights_that_are_put_in_place_of_its_own() -> None:
    """As DeepSpeed does, with parts of several: they are moved as they would have been."""
    moved = []
    for replaced in (False, True):
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 64).bfloat16())
        optimizer = StochasticAdamW([{"params": [torch.nn.Parameter(torch.zeros(3)) if replaced else weight]}], lr=1e-3)
        optimizer.param_groups[0]["params"] = [weight]
        for _ in range(3):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
        moved.append(weight.detach().clone())
    assert torch.equal(*moved) and not torch.equal(moved[0], torch.linspace(-1, 1, 64).bfloat16())
