"""What the start of a run and its plan say to whoever waits for it."""

import os
from pathlib import Path
from typing import Any

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from camelid.app.cli import main
from tests.finetune.runs import run, variant, write


def test_too_few_updates_are_said_before_they_are_made(
    toy_recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    ours = variant(toy_recipe, "few", optim__updates=None, optim__epochs=1, optim__global_batch=16)
    says = "an update x 1 epochs) are few to learn from; lower optim.global_batch"
    assert main(["finetune", str(write(ours)), "--plan"]) == 0
    assert says in capsys.readouterr().out
    assert main(["finetune", str(write(ours))]) == 0
    said = capsys.readouterr()
    assert said.err.count(says) == 1
    assert f"to stop with a checkpoint: kill {os.getpid()}" in said.out
    asked = variant(toy_recipe, "asked", optim__updates=2)
    assert main(["finetune", str(write(asked)), "--plan"]) == 0
    assert "few to learn from" not in capsys.readouterr().out


@pytest.mark.parametrize("more", [[], ["--plan"]])
def test_a_model_on_the_hub_is_downloaded_first(
    toy_recipe: dict[str, Any], capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    ours = variant(toy_recipe, "hub", model__path="some-owner/Some-Model-7B")
    assert main(["finetune", str(write(ours)), *more]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "hf download some-owner/Some-Model-7B --local-dir models/Some-Model-7B" in line
    assert not (Path(ours["run"]["output"]) / "recipe.yaml").exists()


def test_torchruns_summary_repeats_a_mistake(
    toy_recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through torch's own reader of what a failed process leaves behind."""
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    assert run(variant(toy_recipe, "mistaken", data__train=[{"path": "missing.jsonl"}])) == 2
    failure = ProcessFailure(0, os.getpid(), 2, str(tmp_path / "error.json"))
    assert "camelid: error: data.train: missing.jsonl: no such file" in str(ChildFailedError("run", {0: failure}))
