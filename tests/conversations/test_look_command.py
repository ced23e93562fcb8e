"""`show` and `stats` with options that do not fit, and with nothing to look at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from tests.conversations.chats import chat


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--id", "zz"], "none of its 1 conversations has the id 'zz'"),
        (["--index", "7"], "it has 1 conversations, numbered from 0"),
        (["--template", "chatmll"], "did you mean 'chatml'"),
        (["--tokenizer", "/nowhere"], "no such model folder"),
        (["--template", "llama-3"], "needs the special token(s) '<|begin_of_text|>'"),
    ],
)
def test_mistakes_are_named(
    data: Callable[..., str], folder: str, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    path = data(chat("a", "Hi", "no"))
    assert main(["conversations", "show", path, "--template", "chatml", "--tokenizer", folder, *options]) == 2
    assert message in capsys.readouterr().err


def test_stats_of_nothing_and_of_half_an_encoder(
    data: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path: Any = data()
    assert main(["conversations", "stats", path, "--output", str(tmp_path / "out")]) == 0
    assert main(["conversations", "stats", path, "--output", str(tmp_path / "out"), "--template", "chatml"]) == 2
    assert "go together" in capsys.readouterr().err
