"""What is shown is what the encoder makes: every token, and which of them are trained."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest

from camelid.app.cli import main
from conversations.look.show import to_terminal
from conversations.tokens.template import get_template
from conversations.tokens.tokenize import Encoder
from tests.conversations.chats import chat

from_user, from_model = "Which <b>animal</b> & why?", "The camel.\n\n```\n</pre><script>alert(1)</script>\n```"


def test_show_prints_the_mask_without_colour(
    data: Callable[..., str], folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data(chat("a", "Hi", "no"), chat("b", from_user, from_model))
    for template in ("chatml", "tokenizer"):
        options = ["--template", template, "--tokenizer", folder]
        assert main(["conversations", "show", path, "--id", "b", *options]) == 0
        out = capsys.readouterr().out
        runs = re.findall(r"^ +([01](?: \+)?) +(.*(?:\n {7}.*)*)", out, flags=re.MULTILINE)
        trained = "".join(text for weight, text in runs if "+" in weight)
        letters = re.sub(r"\n {7}", "", trained).replace("│", "").replace("↵", "\n")
        assert letters == from_model + "<|im_end|>"
        assert "3 control tokens" not in out and "4 control tokens" in out


def test_show_paints_what_is_trained_and_nothing_else(folder: str) -> None:
    from transformers import AutoTokenizer

    encoder = Encoder(get_template("chatml"), AutoTokenizer.from_pretrained(folder))
    painted = to_terminal(encoder.explain(chat("a", "Hi", "The camel. </s>\n", "q", from_model)))
    green = "".join(painted.plain[at.start : at.end] for at in painted.spans if " on " in str(at.style))
    assert green.replace("↵", "\n") == f"The camel. </s>\n<|im_end|>{from_model}<|im_end|>"


def test_show_writes_a_page_that_runs_nothing(
    data: Callable[..., str], folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, page = data(chat("x<y>", from_user, from_model)), tmp_path / "page.html"
    options = ["--template", "chatml", "--tokenizer", folder, "--index", "0", "--html", str(page)]
    assert main(["conversations", "show", path, *options]) == 0
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "<b>" not in text and "<y>" not in text
    cells = re.findall(r'<span class="([^"]*)" title="id (\d+), weight ([\d.]+)"[^>]*>(.*?)</span>', text, re.DOTALL)
    shown = "".join(unescape(cell[3]) for cell in cells if "trained" in cell[0]).replace("↵", "")
    assert shown == from_model + "<|im_end|>"
    from transformers import AutoTokenizer

    encoder = Encoder(get_template("chatml"), AutoTokenizer.from_pretrained(folder))
    tokens = encoder.encode(chat("x", from_user, from_model))
    assert [int(cell[1]) for cell in cells] == tokens.ids.tolist()
    assert [float(cell[2]) for cell in cells] == tokens.weights.tolist()
