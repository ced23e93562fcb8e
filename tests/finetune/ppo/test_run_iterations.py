"""What an update of the two models counts as."""

from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.objectives.clipped_values import ClippedValues
from tests.finetune.ppo.world import recipe_of
from tests.finetune.runs import metrics, run


def test_an_update_whose_critic_could_not_step_is_skipped(
    world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said, and too many in a row end the run, as they do of the policy."""
    ours = recipe_of(world, tmp_path / "run", batch=16)
    ours["optim"] |= {"global_batch": 2, "micro_batch": 2, "updates": 16}
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
