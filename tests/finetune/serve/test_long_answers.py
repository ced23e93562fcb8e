"""Answers of any length on the chat page: drawn right, and fast enough that nothing waits; needs Chromium.

Times are those of the browser's main thread by its own clock, so that other work on the machine does not count.
"""

import html
import json
import re
from random import Random
from typing import Any

import pytest

from tests import chat_pages
from tests.finetune.serve.page_steps import say, send, wait_for_text
from tests.finetune.serve.talker import Piece, Talker

pytestmark = pytest.mark.slow

MEGABYTE = 1_000_000
SLOWEST = 200  # milliseconds of one task while a megabyte comes
ALL_THERE = """([word, count]) =>
    document.querySelector(".turn.assistant .text").textContent.split(word).length === count + 1"""
PATIENTLY: dict[str, Any] = {"timeout": 300_000, "polling": 500}  # milliseconds
TAG = re.compile("<[^>]*>")
UNITS = {
    "prose": "A **bold** paragraph with `code` and [a link](https://a.example/b).\n\n- one\n- two\n\n> quoted\n\n",
    "one line": "words and *more* words go on without an end ",
    "lines": "A line that stands alone, with nothing between it and the next.\n",
    "code": "x = [1, 2][0]  # a line of code\n",
    "list": "- an item with **some** words in it\n",
    "table": "| some | words | of | a row |\n",
    "quote": "> A line that somebody else has said.\n",
}
WORDS = {
    "prose": "quoted", "one line": "go on", "lines": "nothing", "code": "x = [1", "list": "item", "table": "a row",
    "quote": "somebody",
}  # fmt: skip
"""What is in each unit once."""
OPENINGS = {"code": "```python\n", "table": "| a | b | c | d |\n|---|---|---|---|\n"}


def long_text(kind: str, size: int) -> str:
    return OPENINGS.get(kind, "") + UNITS[kind] * (size // len(UNITS[kind]))


def in_pieces(text: str, size: int) -> list[Piece]:
    return [text[at : at + size] for at in range(0, len(text), size)]


class MainThread:
    """The tasks of a page's main thread, traced by the browser."""

    def __init__(self, page: Any) -> None:
        self._page, self._events, self._over = page, list[dict[str, Any]](), list[Any]()
        self._session = page.context.browser.new_browser_cdp_session()
        self._session.on("Tracing.dataCollected", lambda found: self._events.extend(found["value"]))
        self._session.on("Tracing.tracingComplete", lambda found: self._over.append(found))

    def __enter__(self) -> "MainThread":
        self._session.send(
            "Tracing.start", {"categories": "toplevel,devtools.timeline", "transferMode": "ReportEvents"}
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._session.send("Tracing.end")
        while not self._over:
            self._page.wait_for_timeout(20)

    def tasks(self) -> list[float]:
        """Milliseconds of processor time of each task, of the renderer that worked most."""
        found: dict[tuple[int, int], list[float]] = {}
        for event in self._events:
            if event["name"] == "RunTask" or event["name"] == "ThreadControllerImpl::RunTask":
                found.setdefault((event["pid"], event["tid"]), []).append(event.get("tdur", 0) / 1000)
        return max(found.values(), key=sum)


def test_a_message_after_a_table_of_500_rows_is_there_at_once(open_talk: Any, talker: Talker) -> None:
    page = open_talk()
    table = long_text("table", 500 * len(UNITS["table"]))
    talker.say = lambda body: in_pieces(table, 50)
    say(page, "a table, please")
    page.wait_for_function("() => document.querySelectorAll('td').length === 2000")
    talker.say = lambda body: ["Short."]
    page.fill("#text", "thanks")
    with MainThread(page) as thread:
        page.press("#text", "Enter")
        wait_for_text(page, "Short.")
    assert max(thread.tasks()) < 100


@pytest.mark.parametrize("kind", UNITS)
def test_a_megabyte_stays_fluid(open_talk: Any, talker: Talker, kind: str) -> None:
    page = open_talk()
    text = long_text(kind, MEGABYTE)
    talker.say = lambda body: in_pieces(text, 4000)
    with MainThread(page) as thread:
        send(page, "all of it")
        page.fill("#text", "typed meanwhile")
        page.wait_for_selector("#send:visible", timeout=120_000)
        page.wait_for_function(ALL_THERE, arg=[WORDS[kind], MEGABYTE // len(UNITS[kind])], **PATIENTLY)
    assert page.input_value("#text") == "typed meanwhile"
    assert max(thread.tasks()) < SLOWEST


def test_a_megabyte_in_one_piece_stays_fluid(open_talk: Any, talker: Talker) -> None:
    page = open_talk()
    text = long_text("prose", MEGABYTE)
    talker.say = lambda body: [text]
    with MainThread(page) as thread:
        send(page, "all of it")
        page.wait_for_function(ALL_THERE, arg=[WORDS["prose"], MEGABYTE // len(UNITS["prose"])], **PATIENTLY)
    assert max(thread.tasks()) < SLOWEST


DRAWN = """async ([text, sizes]) => {
    const { Growing } = await import("./page/growing.js");
    const { markdown } = await import("./page/markdown.js");
    const growing = new Growing(), spoken = [];
    growing.onFinal = (node) => spoken.push(node.textContent);
    for (let end = 0, turn = 0; end < text.length; turn++) {
        end = Math.min(text.length, end + sizes[turn % sizes.length]);
        growing.update(text.slice(0, end), false);
        while (!growing.done) growing.step();
    }
    growing.update(text, true);
    while (!growing.done) growing.step();
    const plain = (box) => {
        for (const part of box.querySelectorAll(".part, .lines")) part.replaceWith(...part.childNodes);
        for (const heading of box.querySelectorAll("[aria-level]")) heading.removeAttribute("aria-level");
        box.normalize();
        return box.innerHTML;
    };
    return [plain(growing.element), plain(markdown(text)), spoken.join(""), markdown(text).textContent];
}"""


def test_what_grows_ends_as_what_is_drawn_at_once(open_talk: Any) -> None:
    """And each of its blocks is said to be final once."""
    page = open_talk()
    rng = Random(0)
    for _ in range(150):
        text = "\n\n".join(chat_pages.answer(rng).markdown for _ in range(rng.randint(1, 3)))
        text = text.replace("\n", rng.choice(["\n", "\n", "\r\n"]))
        sizes = [rng.randint(1, 60) for _ in range(20)]
        grown, whole, spoken, words = page.evaluate(DRAWN, [text, sizes])
        assert grown == whole, json.dumps(text)
        assert spoken == words, json.dumps(text)


@pytest.mark.parametrize("kind", UNITS)
def test_a_block_longer_than_a_window_keeps_its_text(open_talk: Any, kind: str) -> None:
    page = open_talk()
    text = long_text(kind, 40_000) + "\n```\n" * (kind == "code") + "\n\nThe end."
    for sizes in ([100_000], [997]):
        grown, _, spoken, words = page.evaluate(DRAWN, [text, sizes])
        shown = (
            re.sub(r"<thead>.*?</thead>", "", grown).count("<td>")
            if kind == "table"
            else bare(html.unescape(TAG.sub("", grown)))
        )
        assert shown == (4 * (40_000 // len(UNITS[kind])) if kind == "table" else bare(words))
        assert kind == "table" or bare(spoken) == bare(words)


def bare(text: str) -> str:
    return "".join(text.split())
