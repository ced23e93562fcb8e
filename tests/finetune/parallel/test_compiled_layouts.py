"""Compiled layers under what wraps them: the same updates as in eager code."""

from typing import Any

import pytest

from tests.finetune.runs import launch, metrics, variant

LAYOUTS: dict[str, tuple[int, dict[str, Any]]] = {
    "one": (1, {}),
    "ddp": (2, {}),
    "fsdp2": (2, {"run__sharding": "fsdp2"}),
    "stages": (2, {"run__pipeline_parallel": 2}),
    "fsdp2-stages": (4, {"run__pipeline_parallel": 2, "run__sharding": "fsdp2"}),
}
CELLS = [
    (layout, adapter)
    for layout in LAYOUTS
    for adapter in ("none", "lora")
    if "stages" not in layout or adapter == "none"
]


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "adapter"), CELLS)
def test_compiled_equals_eager(toy_recipe: dict[str, Any], layout: str, adapter: str) -> None:
    processes, changes = LAYOUTS[layout]
    changes = changes | {"optim__updates": 20, "adapter__kind": adapter, "model__recompute": "selective"}
    eager = variant(toy_recipe, "eager", **changes, model__compile=False)
    compiled = variant(toy_recipe, "compiled", **changes, model__compile=True)
    result = launch([eager, compiled], processes)
    assert result.returncode == 0, result.stderr[-3000:]
    assert len(metrics(eager)) == 20
    for mine, truth in zip(metrics(compiled), metrics(eager), strict=True):
        assert mine["loss"] == pytest.approx(truth["loss"], rel=1e-5)
        assert mine["grad_norm"] == pytest.approx(truth["grad_norm"], rel=1e-4)
