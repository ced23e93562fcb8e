"""What a disk refuses is one line that names the place, in every process of a run."""

from pathlib import Path
from typing import Any

import pytest

from finetune.train import main
from tests.finetune.bad_disk import largest_file
from tests.finetune.runs import run, variant, write


def test_no_room_for_the_tokens(toy_recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with largest_file(4096):
        assert run(toy_recipe) == 2
    [line] = capsys.readouterr().err.splitlines()
    tokens = Path(toy_recipe["run"]["output"]) / "tokens"
    assert line.startswith(f"camelid: error: {tokens}/") and "the tokens could not be written: File too large" in line
    assert list(tokens.iterdir()) == []
    assert run(toy_recipe) == 0  # the same command goes on


@pytest.mark.parametrize("place", ["/proc/runs/mine", "{file}/run", "/proc/mine"])
def test_an_output_that_cannot_be_made(
    toy_recipe: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "file").write_text("")
    ours = variant(toy_recipe, "ours")
    output = place.format(file=tmp_path / "file")
    assert main([str(write(ours)), f"run.output={output}", "--quiet"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"camelid: error: {output}: this folder cannot be made")
