"""Texts and chats in one run: it goes on exactly where it was, whatever its processes, and resumes in constant time."""

import json
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.data import batches
from finetune.data.batches import Plan
from finetune.data.packing import pack_documents
from finetune.data.token_data import TokenData
from finetune.data.token_store import TokenStore
from finetune.engine import checkpoint
from finetune.recipe import DataSection, DataSource, OptimSection
from tests.finetune.conftest import WORDS
from tests.finetune.runs import launch, metrics, run, variant
from tests.finetune.sft.test_survival import StopAfter, assert_equal

UPDATES = 20


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, toy_model: Path, toy_data: Path) -> dict[str, Any]:
    """Several epochs of texts twice, half of the chats, and tokens; blocks that are smaller than the data."""
    folder, chance = tmp_path_factory.mktemp("mixed"), random.Random(0)
    texts = [" ".join(chance.choices(WORDS, k=chance.randint(3, 300))) for _ in range(20)]
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    sources = [
        {"path": str(folder / "texts.jsonl"), "form": "text", "weight": 2.0},
        {"path": str(toy_data), "weight": 0.5},
    ]
    return {
        "model": {"path": str(toy_model)},
        "data": {"train": sources, "template": "vicuna_v1.1", "max_length": 128},
        "optim": {"lr": 1e-3, "global_batch": 8, "micro_tokens": 256, "updates": UPDATES},
        "run": {"output": str(folder / "run"), "precision": "fp32", "checkpoint_every": 1000},
    }


@pytest.fixture(scope="module")
def whole(recipe: dict[str, Any]) -> dict[str, Any]:
    """The uninterrupted run."""
    undisturbed = variant(recipe, "whole")
    assert run(undisturbed) == 0
    assert metrics(undisturbed)[-1]["epoch"] >= 1
    return undisturbed


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.engine.run_updates.StopSignal", StopAfter)


def test_a_mixed_run_stopped_five_times(recipe: dict[str, Any], whole: dict[str, Any], stopping: None) -> None:
    ours, chance, places = variant(recipe, "stopped"), random.Random(1), []
    for _ in range(5):
        StopAfter.left = chance.randint(2, 9)
        assert run(ours) == 128 + signal.SIGTERM
        newest = checkpoint.latest_checkpoint(Path(ours["run"]["output"]) / "checkpoints")
        places.append(newest and newest.name)
    assert len(set(places)) > 2
    StopAfter.left = 10**6
    assert run(ours) == 0
    assert_equal(ours, whole)


@pytest.mark.slow
def test_a_mixed_run_goes_on_with_two_processes(recipe: dict[str, Any], whole: dict[str, Any], stopping: None) -> None:
    ours = variant(recipe, "growing")
    StopAfter.left = 33
    assert run(ours) == 128 + signal.SIGTERM
    result = launch([variant(ours, "growing", run__sharding="fsdp2")], 2)
    assert result.returncode == 0, result.stderr[-3000:]
    assert_equal(ours, whole, 1e-5)


def test_update_10_and_10000_are_found_with_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a plan that was just made, as when a run goes on; in blocks of 2,000 documents out of 40,000."""
    chance = np.random.default_rng(0)
    lengths = chance.integers(2, 2049, 40_000)
    store = TokenStore(np.broadcast_to(np.uint16(5), (int(lengths.sum()),)), None, 0)
    nothing = np.zeros(0, dtype=np.int64)
    starts = lengths.cumsum() - lengths
    data = TokenData((store,), starts, lengths, np.array([5]), np.arange(40_000), nothing, [], block=2000)
    section, optim = DataSection((DataSource("x", form="text"),), None, 2048), OptimSection(1e-3, global_batch=2)
    packed: list[int] = []

    def counting(lengths: Any, capacity: int) -> Any:
        packed.append(lengths.size)
        return pack_documents(lengths, capacity)

    monkeypatch.setattr(batches, "pack_documents", counting)

    def work(update: int) -> int:
        packed.clear()
        plan = Plan(data, section, optim, 0)
        assert plan.updates > 10_000 and len(plan.rows(update)) == 2
        return sum(packed)

    assert work(10) == work(10_000) == work(20_000) == 42_000  # each block once for its rows, and the one it lies in
