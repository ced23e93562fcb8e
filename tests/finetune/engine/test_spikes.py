"""Spikes are told within the update that has them, and what is no spike is not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finetune.engine import update
from finetune.engine.spikes import SpikeWatch, watch_after
from tests.finetune.runs import metrics, run, variant


def record(update: int, loss: float, norm: float) -> dict[str, float]:
    return {"update": update, "loss": loss, "grad_norm": norm}


def clean(count: int, seed: int) -> list[dict[str, float]]:
    """A loss that falls with the noise of batches, and norms with a long tail."""
    chance = np.random.default_rng(seed)
    loss = 2.0 + 8.0 / (1 + np.arange(count) / 20) + chance.normal(0, 0.05, count)
    norms = (1 + 9 / (1 + np.arange(count) / 10)) * chance.lognormal(0, 0.2, count)
    return [record(n + 1, *pair) for n, pair in enumerate(zip(loss.tolist(), norms.tolist(), strict=True))]


@pytest.mark.parametrize("seed", range(10))
def test_five_hundred_clean_updates(seed: int) -> None:
    watch = SpikeWatch()
    assert not any(watch.look(each) for each in clean(500, seed))


@pytest.mark.parametrize(("at", "field"), [(64, "grad_norm"), (300, "loss"), (300, "grad_norm"), (499, "loss")])
def test_a_planted_spike_is_told_at_once(at: int, field: str) -> None:
    watch, records = SpikeWatch(), clean(500, 0)
    for each in records[:at]:
        assert not watch.look(each)
    before = np.array([each[field] for each in records[max(0, at - 128) : at]])
    planted = records[at] | {field: before.mean() + 7 * before.std(ddof=1)}
    assert watch.look(planted) == {field: 7.0}


def test_a_watch_goes_on_from_the_file(tmp_path: Path) -> None:
    """With NaN where an update was skipped, and no more than the last 128."""
    records: list[dict[str, float | None]] = [dict(each) for each in clean(400, 1)]
    records[350]["loss"] = None
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    whole, resumed = SpikeWatch(records), watch_after(path)
    planted = record(401, 9.0, 30.0)
    found = resumed.look(planted)
    assert found == whole.look(planted) and found.keys() == {"loss", "grad_norm"}
    assert not watch_after(tmp_path / "none").look(planted)


@pytest.mark.slow
def test_a_run_tells_of_the_update_of_broken_data(
    toy_recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 500 clean updates none; of that one both; the next ones are compared with it among the 128 before."""
    planted, made = 505, iter(range(10**6))
    make = update.make_micro_batch

    def sometimes(*arguments: Any) -> Any:
        batch = make(*arguments)
        if next(made) == planted - 1:
            batch.targets.copy_(torch.arange(batch.targets.numel()) % 250)  # most of them never seen
        return batch

    monkeypatch.setattr(update, "make_micro_batch", sometimes)
    ours = variant(toy_recipe, "ours", optim__updates=510, optim__micro_tokens=1024, run__checkpoint_every=10**6)
    assert run(ours) == 0
    flagged = {record["update"]: record["spike"] for record in metrics(ours) if "spike" in record}
    assert list(flagged) == [planted] and flagged[planted].keys() == {"loss", "grad_norm"}
    assert f"warning: update {planted}: spike: loss " in capsys.readouterr().err
