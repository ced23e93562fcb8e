"""A run is the same however its preferences are cut into micro-batches, spread over processes, or laid out."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from finetune.data.preference_data import load_preferences
from finetune.preference import train
from tests.finetune.parallel.same_run import assert_same
from tests.finetune.preference.truth import TEMPLATE, write_labelled, write_preferences
from tests.finetune.runs import deepspeed, launch, metrics, run, variant

KINDS = ("reward", "dpo", "kto", "orpo", "simpo")
UPDATES = 20


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_preferences(tmp_path_factory.mktemp("preferences") / "pairs.jsonl", 40)


def recipe(kind: str, model: Path, pairs: Path, folder: Path, updates: int) -> dict[str, Any]:
    """Updates of 7 preferences, whose last one of a pass has fewer, of 50 to 122 tokens: about one at a time."""
    data = write_labelled(folder / "labelled.jsonl", pairs) if kind == "kto" else pairs
    return {
        "kind": kind,
        "model": {"path": str(model)},
        "data": {"train": [{"path": str(data)}], "template": TEMPLATE, "max_length": 128},
        "optim": {"lr": 1e-3, "global_batch": 7, "updates": updates, "weight_decay": 0.1},
        "run": {"output": str(folder / "run"), "precision": "fp32", "checkpoint_every": 100},
    }


def assert_same_preferences(ours: dict[str, Any], truth: dict[str, Any], tokens: bool = True) -> None:
    """Losses, gradients, weights, and all that is said of the preferences."""
    assert_same(ours, truth, tokens=tokens)
    for mine, theirs in zip(metrics(ours), metrics(truth), strict=True):
        said = {
            name for name in theirs if name.endswith(("reward", "log_prob", "margin", "distance")) or "accuracy" in name
        }
        assert len(said) >= 4
        for name in said:
            assert mine[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-5), name


@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_micro_batches_make_no_difference(kind: str, toy_model: Path, pairs: Path, tmp_path: Path) -> None:
    truth = recipe(kind, toy_model, pairs, tmp_path, 3)
    ours = variant(truth, "three", optim__micro_tokens=300)
    assert run(truth) == 0 and run(ours) == 0
    assert_same_preferences(ours, truth)


@pytest.mark.parametrize(
    "kind", ["reward", "dpo", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("kto", "orpo", "simpo"))]
)
def test_prompts_may_be_shared_or_not(
    kind: str, toy_model: Path, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt once for both answers, or once before each, which are then sequences of their own to attention."""
    runs = []
    for name, share_from in (("shared", 0.0), ("apart", 2.0)):
        monkeypatch.setattr(train, "load_preferences", partial(load_preferences, share_from=share_from))
        ours = variant(
            recipe(kind, toy_model, pairs, tmp_path, UPDATES), name, optim__micro_tokens=768, data__max_length=256
        )
        runs.append(ours)
        assert run(ours) == 0
    shared, apart = runs
    assert sum(line["tokens"] for line in metrics(shared)) < 0.8 * sum(line["tokens"] for line in metrics(apart))
    assert_same_preferences(shared, apart, tokens=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_and_processes_make_no_difference(
    kind: str, toy_model: Path, pairs: Path, tmp_path: Path
) -> None:
    truth = recipe(kind, toy_model, pairs, tmp_path, UPDATES)
    several = [variant(truth, f"micro-{size}", optim__micro_tokens=size) for size in (300, 1000)]
    for each in (truth, *several):
        assert run(each) == 0
    ddp = variant(truth, "ddp", optim__micro_tokens=300)
    tensor = variant(truth, "tensor", optim__micro_tokens=300, run__tensor_parallel=2)
    fsdp2 = variant(truth, "fsdp2", optim__micro_tokens=300, run__sharding="fsdp2")
    launched = launch([ddp, tensor, fsdp2], 2)
    assert launched.returncode == 0, launched.stderr[-3000:]
    for each in (*several, ddp, tensor, fsdp2):
        assert_same_preferences(each, truth)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_deepspeed_makes_no_difference(kind: str, stage: int, toy_model: Path, pairs: Path, tmp_path: Path) -> None:
    pytest.importorskip("deepspeed")
    truth = recipe(kind, toy_model, pairs, tmp_path, UPDATES)
    zero = variant(truth, f"zero{stage}", optim__micro_tokens=300)
    assert run(truth) == 0
    launched = launch([zero], 2, **deepspeed(stage))
    assert launched.returncode == 0, launched.stderr[-3000:]
    assert_same_preferences(zero, truth)
