"""Compare and arena on the chat page: one vote for a pair, whoever clicks how often; needs Chromium."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from camelid.files.read import read_jsonl
from finetune.serve.access import Access
from tests.finetune.serve.page_steps import say, send, set_up, titles, wait_for_text
from tests.finetune.serve.talker import Talker, page_for

pytestmark = pytest.mark.slow


def votes(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "votes" / "judgments" / "pairwise" / "human.jsonl"
    return [record for _, record in read_jsonl(path)] if path.exists() else []


def test_a_double_click_is_one_vote(open_talk: Any, tmp_path: Path) -> None:
    page = open_talk()
    page.click("#compare")
    say(page, "red cat")
    page.dblclick(".vote button:text-is('A is better')")
    wait_for_text(page, "You voted: A is better")
    assert len(votes(tmp_path)) == 1
    say(page, "blue dog")
    page.evaluate("""() => {
        const [first, tie, second] = document.querySelectorAll(".vote button");
        first.click(); second.click(); tie.click(); first.click();
    }""")
    wait_for_text(page, "You voted", ".turn:last-child .vote")
    page.wait_for_timeout(300)
    assert [one["text"] for one in votes(tmp_path)] == ["[[A]]", "[[A]]"]


def test_two_tabs_give_one_vote(open_talk: Any, page_address: str, tmp_path: Path) -> None:
    page = open_talk()
    page.click("#compare")
    say(page, "red cat")
    page.wait_for_selector(".vote button")
    other = page.context.new_page()
    other.goto(page_address)
    other.click("#chat-list .open >> text=red cat")
    other.wait_for_selector(".vote button")
    for tab, place in ((page, 0), (other, 2)):
        tab.evaluate("(place) => void document.querySelectorAll('.vote button')[place].click()", place)
    for tab in (page, other):
        tab.wait_for_selector("text=You voted: ")
    assert len(votes(tmp_path)) == 1
    assert page.locator(".vote").inner_text() == other.locator(".vote").inner_text()
    assert len(titles(page)) == 1


@pytest.mark.parametrize("said", [[], ["begun"]], ids=["empty", "begun"])
def test_a_stopped_pair_has_no_vote(open_talk: Any, talker: Talker, tmp_path: Path, said: list[str]) -> None:
    page = open_talk()
    page.click("#compare")
    gate = threading.Event()
    talker.say = lambda body: [*said, gate]
    send(page, "red cat")
    page.wait_for_function("() => document.querySelectorAll('.pair .text').length === 2")
    if said:
        page.wait_for_function(
            "() => [...document.querySelectorAll('.pair .text')].every((one) => one.textContent === 'begun')"
        )
    page.keyboard.press("Escape")
    page.wait_for_selector("#send:visible")
    gate.set()
    assert page.locator(".vote button").count() == 0
    assert page.locator(".pair").count() == (1 if said else 0)
    assert votes(tmp_path) == []


def test_two_empty_answers_have_no_vote(open_talk: Any, talker: Talker) -> None:
    page = open_talk()
    page.click("#compare")
    talker.say = lambda body: [" "]
    say(page, "red cat")
    wait_for_text(page, "No vote: both answers are empty.")
    assert page.locator(".vote button").count() == 0


def test_each_side_has_its_own_temperature_and_system_prompt(open_talk: Any, talker: Talker, tmp_path: Path) -> None:
    page = open_talk()
    page.click("#compare")
    page.select_option("#other", "base")
    set_up(page, system="be kind", temperature="0.5", temperature_second="1.5", system_first="be terse")
    say(page, "red cat")
    page.wait_for_selector(".vote button")
    asked = {body["model"]: (body["temperature"], body["messages"][0]["content"]) for body in talker.asked}
    assert asked == {"tuned": (0.5, "be terse"), "base": (1.5, "be kind")}
    page.click(".vote button:text-is('Tie')")
    wait_for_text(page, "base (temperature 1.5)", ".pair")


def test_one_model_is_compared_with_itself(open_talk: Any, talker: Talker, tmp_path: Path) -> None:
    page = open_talk()
    page.click("#compare")
    set_up(page, temperature_first="0", temperature_second="1")
    page.select_option("#other", "tuned")
    say(page, "red cat")
    page.wait_for_selector(".vote button")
    assert sorted((body["model"], body["temperature"]) for body in talker.asked) == [("tuned", 0), ("tuned", 1)]
    page.click(".vote button:text-is('Tie')")
    wait_for_text(page, "You voted: a tie")
    assert sorted(votes(tmp_path)[0]["models"]) == ["tuned (temperature 0)", "tuned (temperature 1)"]


def test_the_arena_is_blind_until_the_vote_and_leads_to_the_leaderboard(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    names = ["one", "two", "three"]
    talker = Talker(names)
    with page_for(talker, tmp_path / "votes") as address:
        page = open_page(address, address)
        page.click("#arena")
        assert not page.locator("#model").is_visible() and not page.locator("#other").is_visible()
        for number in range(6):
            say(page, f"question {number}")
            page.wait_for_selector(".vote button")
            assert not any(name in page.locator(".pair").last.inner_text() for name in names)
            page.click(".vote button:text-is('A is better')")
            wait_for_text(page, "You voted", ".turn:last-child .vote")
            shown = page.locator(".pair").last.locator(".who bdi").all_inner_texts()
            assert shown == votes(tmp_path)[-1]["models"] and len(set(shown)) == 2
        assert len({tuple(one["models"]) for one in votes(tmp_path)}) > 1
        page.click("#leaderboard")
        page.wait_for_selector("#rows th.model")
        assert set(page.locator("#rows th.model").all_inner_texts()) <= set(names)


@pytest.fixture
def plain_http(talker: Talker, tmp_path: Path) -> Iterator[str]:
    """The page's address under a name that browsers take for a stranger's, as over a network without HTTPS."""
    with page_for(talker, tmp_path / "votes", Access(hosts=("0.0.0.0",))) as address:
        yield address.replace("127.0.0.1", "0.0.0.0")


def test_copy_works_over_plain_http(open_page: Callable[..., Any], plain_http: str) -> None:
    page = open_page(plain_http, plain_http)
    assert not page.evaluate("isSecureContext")
    say(page, "red cat")
    page.click(".turn.assistant button:text-is('Copy')")
    wait_for_text(page, "Copied.", "#note")
    assert page.evaluate("document.activeElement.textContent") == "Copy"
    page.focus("#text")
    page.keyboard.press("Control+V")
    assert page.input_value("#text") == "You said: red cat"
