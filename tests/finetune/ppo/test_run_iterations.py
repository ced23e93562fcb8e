"""What an update of the two models counts as."""

from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.data.batches import MicroBatch
from finetune.engine.worker import Worker
from finetune.llama.model import Head
from finetune.objectives.clipped_values import ClippedValues
from tests.finetune.ppo.world import recipe_of
from tests.finetune.runs import metrics, run


def test_an_update_whose_critic_could_not_step_is_skipped(
    world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, and too many in a row end the run, as they do of the policy."""
    ours = recipe_of(world, tmp_path / "run", batch=16)
    ours["optim"] |= {"global_batch": 2, "micro_tokens": 80, "updates": 16}
    loss, calls = ClippedValues._loss, iter(range(10**6))

    def broken(self: ClippedValues, hidden_TD: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        value = loss(self, hidden_TD, *args, **options)
        return value + hidden_TD.sum() * float("nan") if next(calls) in (1, *range(4, 99)) else value

    monkeypatch.setattr(ClippedValues, "_loss", broken)
    assert run(ours) == 2
    assert "6 updates in a row had a NaN or infinite gradient" in capsys.readouterr().err
    lines = metrics(ours)
    assert [line["skipped"] for line in lines] == [False, True, False, False] + 6 * [True]
    assert lines[1]["value_loss"] is None and lines[1]["loss"] is not None


def test_what_is_measured_is_cut_smaller_where_memory_does_not_hold_it(
    world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the same numbers; smaller micro-batches, then, go on into the updates."""
    whole, cut = (recipe_of(world, tmp_path / name, batch=16) for name in ("whole", "cut"))
    for ours in (whole, cut):
        ours["optim"] |= {"global_batch": 8, "micro_tokens": 320, "updates": 4}
    assert run(whole) == 0
    score, sizes = Worker.score, list[int]()

    def small(self: Worker, batch: MicroBatch, head: Head) -> torch.Tensor:
        sizes.append(batch.tokens)
        if batch.tokens > 100:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return score(self, batch, head)

    monkeypatch.setattr(Worker, "score", small)
    capsys.readouterr()
    assert run(cut) == 0
    assert "a micro-batch has at most" in capsys.readouterr().out and max(sizes) > 100
    for one, other in zip(metrics(whole), metrics(cut), strict=True):
        for name in {"loss", "grad_norm", "value_loss", "ratio", "reward", "kl", "entropy", "tokens"} & set(one):
            assert other[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), name
