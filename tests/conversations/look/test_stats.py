"""The numbers and the page of `stats`."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.message import Conversation, Message
from tests.conversations.chats import chat


def test_stats_counts_what_the_template_cannot_write(
    data: Callable[..., str], folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data(chat("a", "Hi", "no"), Conversation("bad", (Message("assistant", "no"),)))
    options = ["--output", str(tmp_path / "out"), "--template", "chatml", "--tokenizer", folder]
    assert main(["conversations", "stats", path, *options]) == 0
    assert "1 have no tokens: the template cannot write them (1: conversation 'bad'" in capsys.readouterr().out


def test_stats_page_holds_its_charts(
    data: Callable[..., str], folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data(chat("a", "Hi", "no"), chat("b", "Hi", "no", "four", "five5"))
    options = ["--output", str(tmp_path / "out"), "--template", "chatml", "--tokenizer", folder]
    assert main(["conversations", "stats", path, *options]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^turns +6 +3\.0 +3 +4 +4$", out, re.MULTILINE)
    assert re.search(r"^characters, assistant +9 +3\.0 +2 +5 +5$", out, re.MULTILINE)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert (
        page.count("<svg") == 5
        and "src=" not in page
        and "http"
        not in page.replace("http://www.w3.org", "")
        .replace("http://purl.org", "")
        .replace("http://creativecommons.org", "")
        .replace("https://matplotlib.org", "")
    )
    assert (tmp_path / "out" / "tokens.png").is_file()
