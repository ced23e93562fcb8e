"""The page of a set in a real browser, driven as a reader would; needs Chromium."""

import json
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.message import Conversation, Message, ToolCall
from tests.conversations.look.set_pages import HOSTILE, some_conversations

pytestmark = pytest.mark.slow
HACKED = "typeof window.hacked !== 'undefined'"


@pytest.fixture
def show(open_page: Callable[..., Any], data: Callable[..., str], tmp_path: Path, folder: str) -> Callable[..., Any]:
    """Opens the page of a set."""

    def shown(chats: list[Conversation], *, encoder: bool = False, address: str = "", **options: Any) -> Any:
        page = tmp_path / "page.html"
        more = ["--template", "chatml", "--tokenizer", folder] if encoder else []
        assert main(["conversations", "show", data(*chats), "--html", str(page), *more]) == 0
        return open_page(f"{page.as_uri()}{address}", page.as_uri(), **options)

    return shown


def opened(page: Any) -> str:
    return str(page.locator("#detail .permalink").evaluate("(box) => box.textContent"))


def listed(page: Any) -> list[str]:
    names: list[str] = page.locator("#items .where span:first-child").evaluate_all(
        "(all) => all.map((x) => x.textContent)"
    )
    return names


@pytest.mark.parametrize("encoder", [False, True])
@pytest.mark.parametrize("policy", [True, False], ids=["policy", "without policy"])
def test_nothing_that_a_conversation_holds_runs(show: Any, encoder: bool, policy: bool) -> None:
    """Even without the Content-Security-Policy, which is only the second line of defence."""
    chats = some_conversations()
    page = show(chats, encoder=encoder, bypass_csp=not policy)
    for _ in chats:
        for name in ("asRead", "markdown"):
            if page.locator(f"[data-keep={name}]").count():
                page.locator(f"[data-keep={name}]").click()
        page.evaluate("document.querySelectorAll('details').forEach((box) => (box.open = true))")
        inside = page.locator("#detail").locator("script, img, svg, iframe, style, object, embed, form, input")
        assert inside.count() == 0
        links = page.evaluate("[...document.querySelectorAll('#detail a')].map((a) => a.protocol)")
        assert set(links) <= {"file:", "https:", "http:", "mailto:"}
        page.keyboard.press("j")
        page.wait_for_timeout(20)
    assert opened(page) == HOSTILE and not page.evaluate(HACKED)


def test_turns_are_there_to_the_letter_and_masks_are_said(show: Any) -> None:
    chats = some_conversations()
    page = show(chats, address="#c=c2")
    assert opened(page) == "c2"
    turns = page.locator("#detail .turn .said").evaluate_all("(all) => all.map((x) => x.textContent)")
    assert turns == [message.content for message in chats[2].messages]
    heads = page.locator("#detail .turn > p").all_inner_texts()
    assert heads == ["user", "assistant · trained", "user", "assistant · not trained"]
    assert page.locator("#detail .turn.is-trained").count() == 1
    page.locator("[data-keep=markdown]").click()
    assert page.locator("#detail .said strong").inner_text() == "more"


def test_a_score_of_a_facts_name_stands_beside_it(show: Any) -> None:
    turns = some_conversations()[0].messages
    page = show([Conversation("a", turns, {"source": "x", "scores": {"language": 0.25, "source": 3}})])
    facts = [" ".join(text.split()) for text in page.locator("#detail .about > div").all_inner_texts()]
    assert facts[:3] == ["source x", "language de", "shape user, assistant"]
    assert facts[4:] == ["language score 0.25", "source score 3"]


def test_what_the_model_reads_is_shown_with_its_mask(show: Any) -> None:
    chats = some_conversations()
    page = show(chats, encoder=True, address="#c=c2")
    whole = page.locator("#detail pre").first.evaluate("(box) => box.textContent")
    assert whole.count("<|im_start|>") == 4
    assert page.locator("#detail pre .trained").all_text_contents() == [chats[2].messages[1].content + "<|im_end|>"]
    page.locator("[data-keep=asRead]").click()
    assert page.locator("#detail .turn").count() == 4
    page.keyboard.press("j")
    page.locator("#detail .permalink", has_text="c3").wait_for()
    assert page.locator("#detail .turn").count() == 2


def test_calls_of_tools_are_shown(show: Any) -> None:
    call = ToolCall("weather", '{"at": "<b>Faro</b>"}', "c1")
    turns = (
        Message("user", "Rain?"),
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", "wet", tool_call_id="c1"),
        Message("assistant", "It rains."),
    )
    tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    page = show([Conversation("a", turns, {}, (tool,))])
    asked, result = page.locator("#detail .turn").nth(1), page.locator("#detail .turn").nth(2)
    assert asked.locator("p").all_inner_texts() == ["assistant · trained", "calls weather · call c1"]
    assert asked.locator("pre").inner_text() == call.arguments
    assert result.locator("p").inner_text() == "tool · of call c1"
    assert page.locator("#detail > details summary").all_inner_texts() == ["tools"]
    page.locator("#search").fill("faro")
    page.locator("#count", has_text="1 of 1 conversations").wait_for()


def test_filters_and_order(show: Any) -> None:
    chats = some_conversations()
    ours = chats[:-1]
    page = show(chats)
    page.select_option("#sources", label="set 1 (8)")
    assert listed(page) == [one.id for one in ours if one.meta["source"] == "set 1"]
    page.select_option("#sources", "")
    page.select_option("#languages", label="de (8)")
    assert listed(page) == [one.id for place, one in enumerate(ours) if place % 3 == 0]
    page.select_option("#languages", "")
    page.select_option("#shapes", label="(user, assistant) x 2 (4)")
    assert listed(page) == [one.id for place, one in enumerate(ours) if place % 6 == 2]
    page.select_option("#shapes", "")
    page.select_option("#score", "quality")
    page.locator("#least").fill("2")
    page.locator("#most").fill("4.5")
    inside = [one for one in ours if 2 <= one.meta.get("scores", {}).get("quality", 0) <= 4.5]
    page.locator("#count", has_text=f"{len(inside)} of 25 conversations").wait_for()
    page.select_option("#order", "high")
    assert listed(page) == [one.id for one in inside[::-1]]
    page.locator("#least").fill("99")
    page.locator("#none").wait_for()
    page.locator("#clear").click()
    assert listed(page) == [one.id for one in chats]
    page.select_option("#score", "length in words")
    page.select_option("#order", "low")
    words = [sum(len(turn.content.split()) for turn in one.messages) for one in ours]
    ordered = [one for one in listed(page) if one != HOSTILE]
    assert ordered[:5] == [ours[place].id for place in sorted(range(24), key=lambda place: words[place])][:5]


def test_search_finds_what_is_only_in_an_answer(show: Any) -> None:
    page = show(some_conversations())
    page.keyboard.press("/")
    page.keyboard.type("nothing **more**")
    page.locator("#count", has_text="4 of 25 conversations").wait_for()
    page.keyboard.press("Enter")
    page.locator("#detail .permalink", has_text="c2").wait_for()
    page.wait_for_timeout(100)
    assert page.evaluate("CSS.highlights.get('found').size") >= 2
    page.keyboard.press("ArrowDown")
    page.locator("#detail .permalink", has_text="c8").wait_for()


def test_long_lists_come_in_parts(show: Any) -> None:
    chats = [Conversation(f"c{place}", some_conversations(1)[0].messages) for place in range(250)]
    page = show(chats, address="#c=c180")
    assert opened(page) == "c180" and len(listed(page)) == 200
    page.locator("#more", has_text="50 left").click()
    assert len(listed(page)) == 250 and page.locator("#more").is_hidden()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("encoder", [False, True])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    show: Any, width: int, scheme: str, encoder: bool
) -> None:
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "bypass_csp": True}
    page = show(some_conversations(), encoder=encoder, **options)
    page.evaluate(files(package).joinpath("axe.min.js").read_text(encoding="utf-8"))
    for address in ("#c=c2", f"#c={HOSTILE}"):
        page.evaluate("(hash) => { location.hash = hash; }", address)
        page.wait_for_timeout(100)
        page.evaluate("document.querySelectorAll('details').forEach((box) => (box.open = true))")
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_50_000_conversations_open_in_3_seconds(tmp_path: Path, browser: Any) -> None:
    """From opening the file until a conversation is on the page and the keys work; the best of three."""
    path, page_file = tmp_path / "big.jsonl", tmp_path / "big.html"
    write_big(path, 50_000)
    assert main(["conversations", "show", str(path), "--html", str(page_file)]) == 0
    times = []
    for _ in range(3):
        page = browser.new_page()
        start = time.perf_counter()
        page.goto(page_file.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        times.append(time.perf_counter() - start)
        if len(times) < 3:
            page.close()
    start = time.perf_counter()
    page.locator("#search").fill("zebra-49999")
    page.locator("#count", has_text="1 of 50,000 conversations").wait_for()
    first_search = time.perf_counter() - start
    print(f"{page_file.stat().st_size / 1e6:.1f} MB, opened in {min(times):.2f} to {max(times):.2f} s, "
          f"first search {first_search:.2f} s")  # fmt: skip
    page.close()
    assert min(times) < 3 and first_search < 20


def write_big(path: Path, count: int) -> None:
    """Conversations of one to three exchanges, 1,600 characters on average; each has a word of its own in an answer."""
    rng = Random(0)
    words = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "ma")]
    with path.open("w") as file:
        for place in range(count):
            turns = []
            for _ in range(rng.randint(1, 3)):
                for role, mean in (("user", 3.0), ("assistant", 4.6)):
                    text = " ".join(rng.choices(words, k=1 + int(rng.lognormvariate(mean, 0.7))))
                    turns.append({"role": role, "content": text})
            turns[-1]["content"] += f" zebra-{place}"
            meta = {"source": rng.choice(["one", "two", "three"]), "scores": {"quality": round(rng.uniform(1, 6), 3)}}
            file.write(json.dumps({"id": f"c{place}", "messages": turns, "meta": meta}) + "\n")
