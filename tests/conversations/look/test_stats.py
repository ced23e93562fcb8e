"""The numbers and the page of `stats`."""

import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.message import Conversation, Message
from tests.conversations.chats import chat
from tests.conversations.look.set_pages import some_conversations


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
        not in page.replace("http-equiv", "")
        .replace("http://www.w3.org", "")
        .replace("http://purl.org", "")
        .replace("http://creativecommons.org", "")
        .replace("https://matplotlib.org", "")
    )
    assert (tmp_path / "out" / "tokens.png").is_file()


def test_scores_are_shown_with_examples_at_both_ends(
    data: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 40 conversations the three lowest and highest of each score, first come first; what is in them stays text."""
    name, page = "$a_b$ <i>&", tmp_path / "page.html"
    chats = [
        Conversation(
            f"c{place}",
            (Message("user", f"question {place} <b>"), Message("assistant", f"answer {place} " + "long " * 200)),
            {"scores": {name: (place * 7) % 40, **({"rare": place} if place == 3 else {})}},
        )
        for place in range(40)
    ]
    assert main(["conversations", "stats", data(*chats), "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    sections = re.findall(r"<section><p><b>([^<]*)</b> ([^<]*)</p><dl>(.*?)</dl></section>", text, re.DOTALL)
    ranked = sorted(range(40), key=lambda place: (place * 7) % 40)
    shown = [*ranked[:3], *ranked[:-4:-1], 3, 3]
    assert [name for _, name, _ in sections] == [f"c{place}" for place in shown]
    assert [float(value) for value, _, _ in sections[:6]] == [0, 1, 2, 39, 38, 37]
    assert all(f"question {place} &lt;b&gt;" in body for place, (_, _, body) in zip(shown, sections, strict=True))
    assert all(
        f"answer {place} long" in body and "…" in body for place, (_, _, body) in zip(shown, sections, strict=True)
    )
    assert "<h2>$a_b$ &lt;i&gt;&amp;</h2><p>40 have it" in text and "<h2>rare</h2><p>1 have it" in text
    assert "<i>" not in text and "<b>" not in text.replace("<section><p><b>", "")
    assert [path.name for path in tmp_path.iterdir() if path.name != "data.jsonl"] == ["page.html"]


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(data: Callable[..., str], tmp_path: Path, browser: Any, width: int, scheme: str) -> None:
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    page_file = tmp_path / "page.html"
    assert main(["conversations", "stats", data(*some_conversations()), "--html", str(page_file)]) == 0
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "bypass_csp": True}
    context = browser.new_context(**options)
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.evaluate(files(package).joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("typeof window.hacked") == "undefined"
    context.close()
