"""Preferences on a GPU: what a CPU finds, in float32, and runs in bfloat16."""

from pathlib import Path

import pytest
import torch

from tests.finetune.preference.test_layouts import recipe
from tests.finetune.preference.truth import write_preferences
from tests.finetune.runs import launch, metrics, run, variant

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("kind", ["reward", "dpo", "kto", "orpo", "simpo"])
def test_losses_are_those_of_a_cpu(kind: str, toy_model: Path, tmp_path: Path) -> None:
    pairs = write_preferences(tmp_path / "pairs.jsonl", 30)
    ours = recipe(kind, toy_model, pairs, tmp_path, 4)
    truth = variant(ours, "cpu")
    pure = variant(ours, "pure", run__precision="bf16-pure")
    assert run(ours) == 0 and run(pure) == 0
    done = launch([truth], 1, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    for mine, rough, exact in zip(metrics(ours), metrics(pure), metrics(truth), strict=True):
        assert mine["loss"] == pytest.approx(exact["loss"], rel=1e-3)
        assert rough["loss"] == pytest.approx(exact["loss"], rel=0.1)
