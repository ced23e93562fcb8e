"""One recipe, and the run on one process, one sequence at a time, that every other way must equal."""

from pathlib import Path
from typing import Any

import pytest

from tests.finetune.runs import metrics, run, variant


@pytest.fixture(scope="package")
def recipe(tmp_path_factory: pytest.TempPathFactory, toy_model: Path, toy_data: Path) -> dict[str, Any]:
    """20 updates of 8 sequences whose masks are uneven."""
    folder = tmp_path_factory.mktemp("layouts")
    return {
        "model": {"path": str(toy_model)},
        "data": {"train": [{"path": str(toy_data)}], "template": "vicuna_v1.1", "max_length": 128},
        "optim": {"lr": 1e-3, "global_batch": 8, "updates": 20, "weight_decay": 0.1},
        "run": {"output": str(folder / "run"), "precision": "fp32"},
    }


@pytest.fixture(scope="package")
def reference(recipe: dict[str, Any]) -> dict[str, Any]:
    """One process, one sequence at a time."""
    one = variant(recipe, "reference")
    assert run(one) == 0
    records = metrics(one)
    assert len(records) == 20 and records[-1]["loss"] < records[0]["loss"]
    return one
