"""`show --html` of a whole set: what the page holds is the set, and nothing in it is anybody else's markup."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.message import Conversation, Message, ToolCall
from conversations.look.set_page import role_shape
from conversations.tokens.open_tokenizer import open_tokenizer
from tests.conversations.chats import chat
from tests.conversations.look.set_pages import HOSTILE, some_conversations, unpacked


@pytest.mark.parametrize("last", [False, True])
def test_the_page_holds_the_set_and_its_masks(
    data: Callable[..., str], folder: str, tmp_path: Path, last: bool
) -> None:
    """Every turn to the letter; what is trained is what ChatML's answers are, with their ends."""
    chats, page = some_conversations(), tmp_path / "page.html"
    options = ["--template", "chatml", "--tokenizer", folder, *["--last-turn-only"] * last]
    assert main(["conversations", "show", data(*chats), "--html", str(page), *options]) == 0
    index, details = unpacked(page)
    assert index["ids"] == [one.id for one in chats] and len(details) == len(chats)
    for place, (one, detail) in enumerate(zip(chats, details, strict=True)):
        assert [(turn["role"], turn["content"]) for turn in detail["messages"]] == [
            (turn.role, turn.content) for turn in one.messages
        ]
        assert detail["meta"] == json.loads(json.dumps(one.meta))
        names, places = index["sources"]
        assert names[places[place]] == one.meta["source"]
        assert index["scores"]["quality"][place] == one.meta.get("scores", {}).get("quality")
        answers = [turn for turn in one.messages if turn.role == "assistant"]
        trained = [turn for turn in (answers[-1:] if last else answers) if turn.weight != 0]
        ends = ["" if turn.truncated else "<|im_end|>" for turn in trained]
        [document] = detail["runs"]
        runs = [text for weight, text in document if weight]
        assert runs == [turn.content + end for turn, end in zip(trained, ends, strict=True)]
        assert sum(turn["trained"] > 0 for turn in detail["messages"]) == len(trained)
    names, places = index["languages"]
    assert {names[places[place]] for place in range(0, 24, 3)} == {"de"}
    assert {names[places[place]] for place in range(1, 24, 3)} == {"en"}


def test_the_page_can_run_nothing_but_its_own(data: Callable[..., str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["conversations", "show", data(*some_conversations()), "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none';") and "unsafe" not in policy
    script, style = (re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL) for tag in ("script", "style"))
    for [body] in (script, style):
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert HOSTILE not in text and "onerror" not in text and "window.hacked" not in text
    assert not re.findall(r"(?:src|href)=\"(?!#)", text)


def test_the_same_set_makes_the_same_page_in_blocks(data: Callable[..., str], tmp_path: Path) -> None:
    """Texts of two megabytes lie in several blocks, each from the conversation that the index says."""
    chats = [chat(f"c{place}", "Why?", f"{place} " * 9_000) for place in range(60)]
    pages = [tmp_path / "one.html", tmp_path / "two.html"]
    for page in pages:
        assert main(["conversations", "show", data(*chats), "--html", str(page)]) == 0
    assert pages[0].read_bytes() == pages[1].read_bytes()
    index, details = unpacked(pages[0])
    assert len(index["starts"]) > 2 and index["starts"][0] == 0
    assert [detail["messages"][1]["content"] for detail in details] == [one.messages[1].content for one in chats]


def test_what_the_template_cannot_write_is_said(data: Callable[..., str], folder: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    bad = Conversation("bad", (Message("assistant", "no"),))
    command = ["conversations", "show", data(bad, chat("a", "Hi", "no")), "--html", str(page)]
    assert main([*command, "--template", "chatml", "--tokenizer", folder]) == 0
    _, details = unpacked(page)
    assert "bad" in details[0]["runs"] and details[1]["runs"]


def test_several_files_are_told_apart(data: Callable[..., str], tmp_path: Path) -> None:
    page, other = tmp_path / "page.html", tmp_path / "other.jsonl"
    first = data(chat("a", "Hi", "no"))
    other.write_text(json.dumps({"instruction": "Why?", "output": "So."}))
    assert main(["conversations", "show", first, str(other), "--html", str(page)]) == 0
    index, _ = unpacked(page)
    assert [index["sources"][0][place] for place in index["sources"][1]] == ["data.jsonl", "other.jsonl"]


@pytest.mark.parametrize(
    ("roles", "shape"),
    [
        ("ua", "user, assistant"),
        ("uaua", "(user, assistant) x 2"),
        ("suauaua", "system, (user, assistant) x 3"),
        ("uuu", "user x 3"),
        ("uauau", "(user, assistant) x 2, user"),
        ("a", "assistant"),
        ("", ""),
    ],
)
def test_shapes(roles: str, shape: str) -> None:
    named = {"u": "user", "a": "assistant", "s": "system"}
    turns = tuple(Message(named[letter], "x") for letter in roles)  # type: ignore[arg-type]
    assert role_shape(Conversation("x", turns)) == shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--template and --tokenizer are needed to show tokens"),
        (["--template", "chatml"], "go together: both or neither"),
        (["--html", "{page}", "--index", "0"], "--template and --tokenizer are needed to show tokens"),
        (["{data}", "--template", "chatml", "--tokenizer", "{folder}"], "one conversation is shown of one FILE"),
        (["--html", "{data}"], "is an input, too"),
    ],
)
def test_options_that_do_not_fit_are_named(
    data: Callable[..., str],
    folder: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    path = data(chat("a", "Hi", "no"))
    filled = [one.format(page=tmp_path / "page.html", data=path, folder=folder) for one in options]
    assert main(["conversations", "show", path, *filled]) == 2
    assert message in capsys.readouterr().err and open_tokenizer(folder)


def test_calls_of_tools_are_in_the_page_and_trained(data: Callable[..., str], folder: str, tmp_path: Path) -> None:
    """The call is trained as Hermes writes it, the schema and the result are not."""
    page = tmp_path / "page.html"
    function = {"name": "weather", "description": "", "parameters": {"type": "object", "properties": {}}}
    turns = (
        Message("user", "Rain?"),
        Message("assistant", "", tool_calls=(ToolCall("weather", '{"at": "Faro"}', "c1"),)),
        Message("tool", "wet", tool_call_id="c1"),
        Message("assistant", "It rains."),
    )
    one = Conversation("a", turns, {}, ({"type": "function", "function": function},))
    options = ["--template", "chatml", "--tokenizer", folder]
    assert main(["conversations", "show", data(one), "--html", str(page), *options]) == 0
    index, [detail] = unpacked(page)
    assert index["shapes"] == [["user, assistant, tool, assistant"], [0]]
    assert detail["tools"] == [{"type": "function", "function": function}]
    assert [turn.get("tool_calls", [{}])[0].get("id") for turn in detail["messages"]] == [None, "c1", None, None]
    [document] = detail["runs"]
    trained = "".join(text for weight, text in document if weight)
    untrained = "".join(text for weight, text in document if not weight)
    assert '"at": "Faro"' in trained and "It rains." in trained and "wet" not in trained
    assert "wet" in untrained and '"parameters"' in untrained
