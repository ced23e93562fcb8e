"""The list of chats that the browser keeps; needs Chromium."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from conversations.formats.readers import read_conversations
from tests.finetune.serve.page_steps import last_answer, reload, say, send, set_up, titles, wait_for_text
from tests.finetune.serve.talker import Talker

pytestmark = pytest.mark.slow


def another_tab(page: Any, address: str) -> Any:
    """A tab of the same browser."""
    other = page.context.new_page()
    other.goto(address)
    other.wait_for_selector("html[data-ready]", state="attached")
    return other


def test_each_chat_is_kept_with_its_own_settings(open_talk: Any, talker: Talker) -> None:
    page = open_talk()
    set_up(page, system="be kind")
    say(page, "red cat")
    page.click("#new")
    set_up(page, system="be brief")
    say(page, "blue dog")
    reload(page)
    assert titles(page) == ["blue dog", "red cat"]
    assert page.locator("#chat-list [aria-current]").inner_text() == "blue dog"
    page.click("#chat-list .open >> text=red cat")
    wait_for_text(page, "You said: red cat")
    say(page, "and a mouse")
    assert [turn["content"] for turn in talker.asked[-1]["messages"]] == [
        "be kind", "red cat", "You said: red cat", "and a mouse",
    ]  # fmt: skip


def test_tabs_do_not_write_over_one_another(open_talk: Any, page_address: str) -> None:
    page = open_talk()
    say(page, "of the first tab")
    other = another_tab(page, page_address)
    say(other, "of the second tab")
    say(page, "more of the first")
    reload(other)
    assert other.locator(".turn.user .box").all_inner_texts() == ["of the second tab"]
    assert sorted(titles(other)) == ["of the first tab", "of the second tab"]


def test_two_tabs_with_one_chat_lose_nothing(open_talk: Any, talker: Talker, page_address: str) -> None:
    page = open_talk()
    say(page, "one question")
    other = another_tab(page, page_address)
    other.click("#chat-list .open >> text=one question")
    wait_for_text(other, "You said: one question")
    gate = threading.Event()
    talker.say = lambda body: ["slow ", gate, "answer"]
    send(page, "asked here")
    wait_for_text(page, "slow")
    send(other, "asked there")
    wait_for_text(other, "asked there", ".turn.user")
    gate.set()
    for tab in (page, other):
        tab.wait_for_selector("#send:visible")
    page.wait_for_function("() => document.querySelectorAll('#chat-list li').length === 2")
    here, there = (tuple(tab.locator(".turn.user .box").all_inner_texts()) for tab in (page, other))
    assert here[0] == there[0] == "one question" and here[-1] == "asked here" and there[-1] == "asked there"
    kept = set()
    for place in range(2):
        page.locator("#chat-list .open").nth(place).click()
        page.wait_for_selector(f"#chat-list li:nth-child({place + 1}) [aria-current]")
        kept.add(tuple(page.locator(".turn.user .box").all_inner_texts()))
    assert kept == {here, there}


def test_a_chat_is_saved_while_its_answer_is_written(open_talk: Any, talker: Talker) -> None:
    page = open_talk()
    gate = threading.Event()
    talker.say = lambda body: ["The beginning", gate, " and the end"]
    send(page, "tell me")
    wait_for_text(page, "The beginning")
    page.wait_for_timeout(1500)
    reload(page)
    gate.set()
    wait_for_text(page, "The beginning")
    assert page.locator(".state").inner_text() == "Not finished."
    talker.say = lambda body: ["Whole."]
    page.click("#again")
    page.wait_for_selector("#send:visible")
    assert last_answer(page) == "Whole." and page.locator(".state").count() == 0


def test_another_chat_can_be_read_while_an_answer_is_written(open_talk: Any, talker: Talker) -> None:
    page = open_talk()
    say(page, "first chat")
    page.click("#new")
    gate = threading.Event()
    talker.say = lambda body: ["begun", gate, " and ended"]
    send(page, "second chat")
    wait_for_text(page, "begun")
    page.click("#chat-list .open >> text=first chat")
    wait_for_text(page, "You said: first chat")
    gate.set()
    page.wait_for_timeout(300)
    page.click("#chat-list .open >> text=second chat")
    wait_for_text(page, "begun and ended")


def test_rename_delete_undo(open_talk: Any) -> None:
    page = open_talk()
    for text in ("one", "two"):
        page.click("#new")
        say(page, text)
    page.click("#chat-list >> text=Rename")
    page.keyboard.type("A better name")
    page.keyboard.press("Enter")
    page.wait_for_selector("#chat-list .open >> text=A better name")
    reload(page)
    assert titles(page) == ["A better name", "one"]
    page.click("#chat-list >> text=Delete")
    page.wait_for_selector("#chat-list .open >> text=New chat")
    assert titles(page) == ["New chat", "one"]
    page.click("#note >> text=Undo")
    wait_for_text(page, "You said: two")
    assert titles(page) == ["A better name", "one"]
    page.click("#chat-list >> text=Delete")
    page.wait_for_selector("#note >> text=Undo")
    reload(page)
    assert "A better name" not in titles(page) and "one" in titles(page)


def test_chats_go_out_and_come_in_again(open_talk: Any, tmp_path: Path) -> None:
    page = open_talk()
    set_up(page, system="be kind")
    for text in ("one", "two"):
        page.click("#new")
        say(page, text)
    with page.expect_download() as download:
        page.click("#export-all")
    path = tmp_path / "chats.jsonl"
    download.value.save_as(path)
    chats = list(read_conversations(path))
    assert [chat.messages[1].content for chat in chats] == ["two", "one"]
    fresh = open_talk()  # in another browser
    fresh.set_input_files("#file", path)
    wait_for_text(fresh, "2 chats read", "#note")
    assert sorted(titles(fresh)) == ["one", "two"]
    wait_for_text(fresh, "You said: two")
    with fresh.expect_download() as download:
        fresh.click("#export")
    again = json.loads(Path(download.value.path()).read_text())
    assert again["messages"] == [{"role": m.role, "content": m.content} for m in chats[0].messages]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1", "line 1: is no JSON"),
        ('{"messages": [{"role": "user", "content": "a"}]}\n{"x": 1}', "line 2: has no 'messages'"),
        ('{"messages": [{"role": "tool", "content": "a"}]}', "'role' of system, user or assistant"),
        ("", "holds no chat"),
    ],
)
def test_a_file_that_is_none_is_refused(open_talk: Any, tmp_path: Path, text: str, words: str) -> None:
    page = open_talk()
    path = tmp_path / "some.jsonl"
    path.write_text(text)
    page.set_input_files("#file", path)
    wait_for_text(page, words, "#note")
    assert titles(page) == ["New chat"]


def test_a_chat_of_the_page_before_is_taken_over(open_talk: Any) -> None:
    page = open_talk()
    page.evaluate("""() => {
        localStorage.setItem("camelid-turns", JSON.stringify([
            {role: "user", content: "old question"}, {role: "assistant", content: "old answer", model: "tuned"}]));
        sessionStorage.clear();
    }""")
    reload(page)
    wait_for_text(page, "old answer")
    assert titles(page) == ["old question"]
    reload(page)
    wait_for_text(page, "old answer")


def test_what_was_cut_is_exported_as_cut(open_talk: Any, talker: Talker) -> None:
    page = open_talk()
    talker.finish = "length"
    say(page, "tell me")
    assert page.locator(".state").inner_text() == "Cut at its token limit."
    with page.expect_download() as download:
        page.click("#export")
    [chat] = read_conversations(Path(download.value.path()))
    assert chat.messages[-1].truncated


def test_favourite_prompts(open_talk: Any) -> None:
    page = open_talk()
    say(page, "My favourite question?")
    page.click(".turn.user button:text-is('Favourite')")
    page.click("#new")
    page.click("#starters >> text=My favourite question?")
    assert page.input_value("#text") == "My favourite question?"
    reload(page)
    page.click("#prompts-open")
    page.click("#favourites li:has-text('My favourite question?') .drop")
    assert page.locator("#favourites >> text=My favourite").count() == 0
    page.keyboard.press("Escape")
    page.fill("#text", "Another")
    page.click("#prompts-open")
    page.click("#favourite")
    page.click("#favourites >> text=Another")
    assert page.evaluate("document.activeElement.id") == "text"
