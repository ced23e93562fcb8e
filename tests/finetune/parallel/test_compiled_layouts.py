"""Compiled layers under what wraps them: the same updates as in eager code."""

from typing import Any

import pytest

from tests.finetune.parallel.same_run import assert_same
from tests.finetune.runs import launch, metrics, variant
from tests.finetune.test_combinations import ADAPTERS, LAYOUTS, Cell

WORDS: dict[str, Any] = {
    "model": {"path": ""}, "data": {"train": [{"path": ""}], "template": "alpaca"},
    "optim": {"lr": 1.0}, "run": {"output": "cells/run"},
}  # fmt: skip
# Every layout that compiles (tests/finetune/test_combinations.py: what does not is refused by name); without a GPU
# nothing is offloaded.
CELLS = [
    (layout, adapter)
    for layout in LAYOUTS
    for adapter in ADAPTERS
    if "offload" not in layout and Cell(layout, "adamw", "fp32", adapter, compile=True).refusal(WORDS) is None
]


def assert_compiled_equals_eager(recipe: dict[str, Any], processes: int, **changes: object) -> None:
    changes = changes | {"optim__updates": 20, "model__recompute": "selective"}
    eager, compiled = (variant(recipe, f"{on}", **changes, model__compile=on) for on in (False, True))
    result = launch([eager, compiled], processes)
    assert result.returncode == 0, result.stderr[-3000:]
    assert len(metrics(eager)) == 20
    whole = recipe["adapter"]["kind"] == "none"
    assert_same(compiled, eager, "model/model.safetensors" if whole else "adapter/adapter_model.safetensors")


def test_what_compiles() -> None:
    """One process, DDP, FSDP2 and stages; of those that share documents or matrices, and of DeepSpeed, none."""
    assert {layout for layout, _ in CELLS} == {"one", "ddp", "fsdp2", "stages", "fsdp2-stages"}
    assert {adapter for layout, adapter in CELLS if layout == "fsdp2"} == {"none", "lora", "rslora"}


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "adapter"), CELLS)
def test_compiled_equals_eager(toy_recipe: dict[str, Any], layout: str, adapter: str) -> None:
    cell = Cell(layout, "adamw", "fp32", adapter)
    assert_compiled_equals_eager(cell.recipe(toy_recipe), LAYOUTS[layout].processes)


@pytest.mark.slow
@pytest.mark.parametrize("micro_tokens", [None, 300])
def test_compiled_equals_eager_without_packing(toy_recipe: dict[str, Any], micro_tokens: int | None) -> None:
    """Single documents, as many as fit, filled up."""
    recipe = Cell("one", "adamw", "fp32", "none").recipe(toy_recipe)
    assert_compiled_equals_eager(recipe, 1, data__packing=False, optim__micro_tokens=micro_tokens)
