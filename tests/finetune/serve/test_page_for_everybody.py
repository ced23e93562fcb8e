"""The chat page by ear, by keyboard and in any direction of writing; needs Chromium."""

import threading
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

from tests.finetune.serve.page_steps import say, send, titles, wait_for_text
from tests.finetune.serve.talker import Talker

pytestmark = pytest.mark.slow

OVERRIDE = "\u202e"  # right-to-left override: turns around what follows it
MARKDOWN = (
    "## Camels\n\n#### Humps\n\nA **bold** [link](https://a.example).\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n"
)

LETTERS = """() => {
    const node = document.querySelector(".turn.assistant .text p").lastChild;
    return [...node.data].map((_, at) => {
        const range = document.createRange();
        range.setStart(node, at);
        range.setEnd(node, at + 1);
        return range.getBoundingClientRect().left;
    });
}"""
"""Where each letter of what comes last begins, on the screen."""

ISOLATING = """() => [...document.querySelectorAll("#chat-list bdi, .who bdi, .text strong, .text code, .text a")]
    .map((one) => getComputedStyle(one).unicodeBidi)"""

HEARD = """() => {
    window.heard = [];
    const live = "[aria-live]:not([aria-live=off]), [role=log], [role=status], [role=alert]";
    new MutationObserver((changes) => {
        for (const { addedNodes, target } of changes) {
            const region = (target.nodeType === 1 ? target : target.parentElement).closest(live);
            if (region) for (const node of addedNodes) heard.push(node.textContent);
        }
    }).observe(document.body, { childList: true, subtree: true });
}"""


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.id || document.activeElement.tagName"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(open_talk: Callable[..., Any], talker: Talker, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    page = open_talk(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page.evaluate(files(axe).joinpath("axe.min.js").read_text(encoding="utf-8"))

    def findings() -> list[tuple[str, str]]:
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
        return [(one["id"], one["nodes"][0]["html"]) for one in found]

    talker.say = lambda body: [MARKDOWN]
    assert findings() == []
    say(page, "in one chat")
    assert findings() == []
    page.click("#compare")
    say(page, "of two")
    page.wait_for_selector(".vote button")
    assert findings() == []
    page.click("#settings")
    assert findings() == []
    page.click("#done")
    page.click("#prompts-open")
    assert findings() == []
    page.keyboard.press("Escape")
    if width == 360:
        page.click("#chats-open")
        assert findings() == []
        page.keyboard.press("Escape")
    page.click(".vote button:text-is('Tie')")
    wait_for_text(page, "a tie")
    assert findings() == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_new_text_is_announced_once(open_talk: Any, talker: Talker) -> None:
    page = open_talk()
    words = [f"word{number}" for number in range(60)]
    talker.say = lambda body: [piece for word in words for piece in (word, "\n\n" if word.endswith("9") else " ", 0.01)]
    page.evaluate(HEARD)
    say(page, "tell me")
    wait_for_text(page, words[-1], "#spoken")
    heard = " ".join(page.evaluate("heard")).split()
    assert [word for word in heard if word in words] == words
    page.click("#chat-list [data-key^=rename]")  # drawing something else says nothing again
    page.keyboard.press("Escape")
    assert " ".join(page.evaluate("heard")).split().count(words[0]) == 1


def test_both_answers_of_a_pair_are_announced_by_name(open_talk: Any, talker: Talker) -> None:
    page = open_talk()
    page.click("#compare")
    page.evaluate(HEARD)
    say(page, "red cat")
    page.wait_for_selector(".vote button")
    heard = [text for text in page.evaluate("heard") if "You said" in text]
    assert sorted(heard) == ["Answer A: You said: red cat", "Answer B: You said: red cat"]


def test_the_focus_stays_where_it_was(open_talk: Any, talker: Talker) -> None:
    page = open_talk()
    say(page, "red cat")
    page.click("#again")
    page.wait_for_selector("#send:visible")
    assert focused(page) == "again"
    page.keyboard.press("Enter")
    page.wait_for_selector("#send:visible")
    assert focused(page) == "again"
    gate = threading.Event()
    talker.say = lambda body: ["begun", gate]
    send(page, "stop by Escape")
    wait_for_text(page, "begun")
    page.keyboard.press("Escape")
    page.wait_for_selector("#send:visible")
    assert focused(page) == "text"
    page.fill("#text", "stop by the button")
    page.focus("#send")
    page.keyboard.press("Enter")
    page.wait_for_selector("#stop:visible")
    assert focused(page) == "stop"
    page.wait_for_function("() => document.querySelector('.turn:last-child .text')?.textContent === 'begun'")
    page.keyboard.press("Enter")
    page.wait_for_selector("#send:visible")
    assert focused(page) == "text"
    copy = page.locator(".turn.user button:text-is('Copy')").first
    copy.focus()
    gate.set()
    talker.say = lambda body: ["whole"]
    page.evaluate("document.getElementById('again').click()")
    wait_for_text(page, "whole")
    assert page.evaluate("document.activeElement.textContent") == "Copy"


def test_every_turn_says_who_speaks(open_talk: Any) -> None:
    page = open_talk()
    say(page, "red cat")
    assert page.locator(".turn .who").all_inner_texts() == ["You", "tuned"]


def test_the_key_prompt_focuses_the_key(browser: Any, talker: Talker, page_address: str) -> None:
    talker.key = "secret"
    page = browser.new_page()
    page.goto(page_address)
    page.wait_for_selector("#panel[open]")
    assert focused(page) == "key"
    page.keyboard.type("secret")
    page.keyboard.press("Escape")
    page.wait_for_selector("#model option", state="attached")
    say(page, "red cat")
    wait_for_text(page, "You said: red cat")
    page.close()


def test_an_override_turns_nothing_around_but_its_own_element(open_talk: Any, talker: Talker) -> None:
    page = open_talk()
    talker.say = lambda body: [f"**{OVERRIDE}bold** `{OVERRIDE}code` [{OVERRIDE}link](https://a.example) <plain> after"]
    say(page, f"{OVERRIDE}question")
    wait_for_text(page, "after")
    letters = page.evaluate(LETTERS)
    assert letters == sorted(letters)
    assert titles(page) == [f"{OVERRIDE}question"]
    assert set(page.evaluate(ISOLATING)) == {"isolate"}
