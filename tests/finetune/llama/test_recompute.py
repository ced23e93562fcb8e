"""Recomputation changes what is kept, never a number, and ends with the layer that it began with."""

import copy
import weakref
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from finetune.folders import weights
from finetune.llama import recompute
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from finetune.llama.recompute import Recompute, remade, run_layer

CONFIG = LlamaConfig(101, 48, 80, 3, 4, 2, initializer_range=0.2)
LENGTHS = [7, 1, 30, 12]


def gradients(model: Llama, mode: Recompute, bf16: bool = False) -> list[Tensor]:
    """Of a loss whose backward pass runs outside autocast, as in training."""
    ids = torch.randint(0, 101, (sum(LENGTHS),), generator=torch.Generator().manual_seed(0))
    positions = torch.cat([torch.arange(length) for length in LENGTHS])
    model.set_recompute(mode)
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = model(ids, positions, Documents.from_lengths(LENGTHS)).float().square().mean()
    loss.backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return bool(first) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("frozen", ["nothing", "norms", "all but values"])
def test_gradients_are_bit_equal(bf16: bool, frozen: str) -> None:
    model = weights.init_model(CONFIG, seed=1)
    for name, parameter in model.named_parameters():
        if (frozen == "norms" and "norm" in name) or (frozen == "all but values" and "v_proj" not in name):
            parameter.requires_grad_(False)
    truth = gradients(model, "none", bf16)
    assert equal(gradients(model, "selective", bf16), truth)
    assert equal(gradients(model, "full", bf16), truth)


def test_the_values_are_not_kept() -> None:
    """Of a chain of two remade values neither outlives the layer; without recomputation both do."""

    def outlive(mode: Recompute) -> list[bool]:
        made: list[weakref.ref[Any]] = []

        def layer(x: Tensor) -> Tensor:
            first = remade(torch.add, x, x)
            second = remade(torch.sin, first)
            made.extend(weakref.ref(value.untyped_storage()) for value in (first, second))
            return first * second * second  # saves both

        x = torch.randn(5, requires_grad=True)
        out = run_layer(mode, layer, x)
        alive = [each() is not None for each in made]
        out.sum().backward()
        doubled = 2 * x.detach()
        truth = 2 * (doubled.sin() ** 2 + 2 * doubled * doubled.sin() * doubled.cos())
        torch.testing.assert_close(x.grad, truth)
        return alive

    assert outlive("selective") == [False, False]
    assert outlive("none") == [True, True]


def test_a_value_is_made_again_once_for_all_its_users() -> None:
    """Also when the graph is gone through twice."""
    made: list[Tensor] = []

    def sine(x: Tensor) -> Tensor:
        made.append(x.sin())
        return made[-1]

    def layer(x: Tensor) -> Tensor:
        value = remade(sine, x)
        return value * value + value.exp() * value

    x = torch.randn(5, requires_grad=True)
    out = run_layer("selective", layer, x).sum()
    first, second = (torch.autograd.grad(out, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert len(made) == 3  # forward, and each of two times backward


@pytest.mark.parametrize("mode", ["selective", "full"])
def test_without_gradients_every_mode_is_the_plain_call(mode: Recompute) -> None:
    """Neither hooks nor recipes nor checkpoints, also for a model that is run inside another one's layer."""
    model = weights.init_model(CONFIG, seed=1)
    model.set_recompute(mode)
    ids, documents = torch.arange(9), Documents.from_lengths([9])

    def layer(x: Tensor) -> Tensor:
        with torch.no_grad():
            model(ids, ids, documents)
        return x.sin()

    with (
        patch.object(recompute, "checkpoint", side_effect=AssertionError),
        patch.object(recompute.Recomputations, "add", side_effect=AssertionError),
    ):
        run_layer("selective", layer, torch.randn(3, requires_grad=True))
        with torch.inference_mode(), patch.object(recompute, "Recomputations", side_effect=AssertionError):
            model(ids, ids, documents)


def test_nothing_is_left_behind() -> None:
    """Neither by a layer that ends nor by one that fails: the next value is kept as usual."""

    def fail(x: Tensor) -> Tensor:
        remade(torch.sin, x)
        raise MemoryError

    x = torch.randn(3, requires_grad=True)
    run_layer("selective", lambda x: remade(torch.sin, x), x)
    with pytest.raises(MemoryError):
        run_layer("selective", fail, x)
    with patch.object(recompute.Recomputations, "add", side_effect=AssertionError):
        remade(torch.sin, x)


def test_threads_do_not_meet() -> None:
    """Two threads in the middle of their layers at the same time, one recomputing: each as if alone."""
    models = [weights.init_model(CONFIG, seed=1) for _ in range(2)]
    truth = gradients(copy.deepcopy(models[0]), "none")
    together = Barrier(2, timeout=60)

    def meet(*_: Any) -> None:
        together.wait()

    for model in models:
        for layer in model.model.layers:
            layer.mlp.register_forward_pre_hook(meet)
    added: list[Any] = []
    add = recompute.Recomputations.add
    with (
        patch.object(recompute.Recomputations, "add", lambda self, *recipe: (added.append(self), add(self, *recipe))),
        ThreadPoolExecutor(2) as pool,
    ):
        first, second = pool.map(gradients, models, ["selective", "none"])
    assert equal(first, truth) and equal(second, truth)
    assert len(added) == 4 * CONFIG.num_hidden_layers  # two norms, a sum and a gate: of one thread only


@pytest.mark.parametrize("mode", ["none", "selective", "full"])
def test_states_that_nobody_reads_are_left_out_of_the_last_layer(mode: Recompute) -> None:
    """Same loss and gradients, and the last feed-forward sees the places that are read alone."""
    model = weights.init_model(CONFIG, seed=1).double()
    model.set_recompute(mode)
    ids = torch.randint(0, 101, (sum(LENGTHS),), generator=torch.Generator().manual_seed(0))
    documents, positions = Documents.from_lengths(LENGTHS), torch.cat([torch.arange(length) for length in LENGTHS])
    read_N = torch.tensor([49, 3, 4, 7, 20])
    rows: list[int] = []

    def count(module: Any, inputs: Any, out_ND: Tensor) -> None:
        rows.append(len(out_ND))

    last: Any = model.model.layers[-1]
    last.mlp.register_forward_hook(count)

    def found(read: Tensor | None) -> list[Tensor]:
        model.zero_grad()

        def head(hidden_TD: Tensor, output: Any) -> Tensor:
            loss: Tensor = output(hidden_TD[[3, 20, 20, 49, 4, 7]]).square().mean()
            return loss

        loss = model(ids, positions, documents, head, read_N=read)
        loss.backward()
        return [loss, *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)]

    pairs = zip(found(None), found(read_N), strict=True)
    assert all(torch.allclose(ours, truth, rtol=1e-11, atol=1e-14) for truth, ours in pairs)
    assert set(rows[: len(rows) // 2]) == {sum(LENGTHS)} and set(rows[len(rows) // 2 :]) == {5}
