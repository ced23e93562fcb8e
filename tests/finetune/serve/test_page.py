"""The chat page in a real browser, used as a person would; needs Chromium."""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from camelid.files.read import read_jsonl
from camelid.message import Message
from conversations.formats.readers import read_conversations
from finetune.generate.slots import Slots
from finetune.serve.served import ServedModel, open_served
from tests.finetune.serve.page_steps import last_answer, reload, say, set_up
from tests.finetune.serve.serving import Running, serving

pytestmark = pytest.mark.slow

HOSTILE = """<script>window.hacked = 1</script> <img src=x onerror="window.hacked = 1">
**bold** [link](javascript:window.hacked=1) <svg onload=window.hacked=1>

</script><script>window.hacked = 1</script>

```html
<script>window.hacked = 1</script>
```"""


@pytest.fixture(scope="module")
def served(lively_model: Path, one_thread: None) -> list[ServedModel]:
    first = open_served(lively_model, "lively")
    return [first, open_served(lively_model, "twin <b>")]


@pytest.fixture(scope="module")
def running(served: list[ServedModel], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(served, tmp_path_factory.mktemp("votes") / "votes") as server:
        yield server


@pytest.fixture
def open_chat(open_page: Callable[..., Any], running: Running) -> Callable[..., Any]:
    """Opens the chat page."""
    return partial(open_page, running.address, running.address)


def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the model take its time."""
    attend = Slots.attend

    def sleepy(self: Slots, *args: Any) -> Any:
        time.sleep(0.02)
        return attend(self, *args)

    monkeypatch.setattr(Slots, "attend", sleepy)


def test_chat_regenerate_edit_export(open_chat: Any, served: list[ServedModel], tmp_path: Path) -> None:
    page = open_chat()
    set_up(page, system="be kind", temperature="0", max_tokens="12")
    say(page, "red cat")
    first = last_answer(page)
    assert first and page.locator(".turn").count() == 2
    say(page, "two\nlines")
    assert page.locator(".turn").count() == 4
    set_up(page, temperature="2", seed="5")
    page.click("#again")
    page.wait_for_selector("#send:visible")
    assert page.locator(".turn").count() == 4
    second = last_answer(page)
    page.press("#text", "ArrowUp")  # edits the last question
    page.locator("#turns textarea").fill("blue dog")
    page.keyboard.press("Enter")
    page.wait_for_selector("#send:visible")
    assert page.locator(".turn.user .box").last.inner_text() == "blue dog" and last_answer(page) != second
    page.locator(".turn.assistant button:text('Edit')").first.click()
    page.locator("#turns textarea").fill("A better answer.")
    page.click("text=Save")
    reload(page)
    with page.expect_download() as download:
        page.click("#export")
    path = tmp_path / "chat.jsonl"
    download.value.save_as(path)
    [chat] = read_conversations(path)
    assert [m.role for m in chat.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert chat.messages[:4] == (
        Message("system", "be kind"), Message("user", "red cat"), Message("assistant", "A better answer."),
        Message("user", "blue dog"),
    )  # fmt: skip
    assert chat.meta["models"] == ["lively"]
    assert served[0].encoder.encode(chat).weights.any()
    page.click("#new")
    assert page.locator(".turn").count() == 0


def test_stop(open_chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    slowly(monkeypatch)
    page = open_chat()
    set_up(page, temperature="2", max_tokens="200")
    for stop in (lambda: page.click("#stop"), lambda: page.keyboard.press("Escape")):
        page.fill("#text", "red cat")
        page.click("#send")
        page.wait_for_selector(".turn.assistant:last-child .text:not(.waiting)")
        while len(last_answer(page)) <= 10:
            page.wait_for_timeout(20)
        stop()
        page.wait_for_selector("#send:visible")
        assert 10 < len(last_answer(page)) < 2000
    assert page.locator(".turn").count() == 4


def test_side_by_side_vote(open_chat: Any, running: Running) -> None:
    page = open_chat()
    set_up(page, max_tokens="10", temperature="1")
    page.click("#compare")
    votes = []
    for label, winner in (("A is better", "[[A]]"), ("Tie", "[[C]]"), ("B is better", "[[B]]")):
        page.fill("#text", f"which cat? {label}")
        page.press("#text", "Enter")
        page.wait_for_selector(".vote button")
        assert "lively" not in page.locator(".pair").last.inner_text()  # blind until the vote
        texts = page.locator(".pair").last.locator(".text").all_inner_texts()
        page.click(f".vote button:text-is('{label}')")
        page.wait_for_selector(".vote button", state="detached")
        shown = [who.split(": ")[1] for who in page.locator(".pair").last.locator(".who").all_inner_texts()]
        votes.append((shown, texts, winner))
    folder = running.votes
    judgments = [record for _, record in read_jsonl(folder / "judgments" / "pairwise" / "human.jsonl")]
    questions = [record for _, record in read_jsonl(folder / "questions.jsonl")]
    assert [(one["models"], one["text"]) for one in judgments] == [(shown, winner) for shown, _, winner in votes]
    assert {one["judge"] for one in judgments} == {"human"}
    assert [one["question"] for one in judgments] == [one["question_id"] for one in questions]
    assert questions[0]["turns"] == ["which cat? A is better"]
    # The next question contains the preferred answer of the first.
    kept = questions[1]["messages"]
    assert [turn["role"] for turn in kept] == ["user", "assistant", "user"]
    answers = {
        r["model_id"]: r["choices"][0]["turns"][0]
        for f in (folder / "answers").iterdir()
        for _, r in read_jsonl(f)
        if r["question_id"] == judgments[0]["question"]
    }
    assert kept[1]["content"] == answers[judgments[0]["models"][0]]


def test_nothing_a_model_writes_runs(open_chat: Any) -> None:
    page = open_chat()
    event = {"choices": [{"index": 0, "delta": {"content": HOSTILE}, "finish_reason": "stop"}]}
    body = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
    page.route("**/v1/chat/completions", lambda route: route.fulfill(content_type="text/event-stream", body=body))
    say(page, "<script>window.hacked = 1</script>")
    page.wait_for_timeout(200)
    assert page.evaluate("typeof window.hacked") == "undefined"
    answer = page.locator(".turn.assistant .text")
    assert answer.locator("script, img, svg, iframe").count() == 0
    assert answer.locator("a[href^='javascript']").count() == 0
    assert answer.locator("strong").inner_text() == "bold"
    assert "<script>window.hacked" in answer.locator("pre code").inner_text()
    assert page.locator(".turn.user .box").inner_text() == "<script>window.hacked = 1</script>"


def test_an_error_is_shown_and_the_chat_goes_on(open_chat: Any) -> None:
    page = open_chat()
    page.route(
        "**/v1/chat/completions",
        lambda route: route.fulfill(
            content_type="text/event-stream", body='data: {"error": {"message": "no <b>luck</b>"}}\n\n'
        ),
    )
    say(page, "red cat")
    assert page.locator("[role=alert]").inner_text() == "no <b>luck</b>"
    page.unroute("**/v1/chat/completions")
    page.click("#again")
    page.wait_for_selector(".turn.assistant .text:not(:empty)")
    assert page.locator("[role=alert]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_is_used_by_keyboard(open_chat: Any, scheme: str, width: int) -> None:
    page = open_chat(viewport={"width": width, "height": 700}, color_scheme=scheme)
    assert page.evaluate("document.activeElement.id") == "text"
    set_up(page, max_tokens="5", temperature="0")  # as it happens, both answers may be empty: no vote
    page.click("#compare")
    say(page, "x" * 80)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    seen = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"send", "again", "settings", "export", "new", "compare", "model", "other", "A is better", "Tie"} <= seen
    colours = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    text, ground = (sum(map(int, c[4:-1].split(","))) / 3 for c in colours)
    assert (text < 80 and ground > 200) if scheme == "light" else (text > 200 and ground < 80)
