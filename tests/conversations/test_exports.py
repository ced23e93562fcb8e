"""Small exports of every kind, through the command: what each record must give, and what it must not.

The files in `exports/` hold one thing a record that readers have got wrong.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from camelid.app.cli import main
from conversations.formats.readers import read_conversations
from conversations.tokens.template import get_template
from tests.conversations.formats.message_trees import chatgpt, node

EXPORTS = Path(__file__).parent / "exports"


class Converted:
    """What the command made of a file: the conversations by their ids, the ledger, what it said."""

    def __init__(self, path: Path, folder: Path, *options: str) -> None:
        self.output = folder / "out.jsonl"
        self.status = main(["conversations", "convert", str(path), "--output", str(self.output), "--quiet", *options])
        self.by_id = {chat["id"]: chat for chat in map(json.loads, self.output.read_text().splitlines())}
        ledger = json.loads(self.output.with_suffix(".ledger.json").read_text())
        self.conversations, self.turns = ledger["ledgers"]
        self.faults: list[str] = ledger["faults"]

    def turns_of(self, name: str) -> list[str]:
        """As `u: text`."""
        return [f"{turn['role'][0]}: {turn['content']}" for turn in self.by_id[name]["messages"]]

    def answer(self, name: str, index: int = -1) -> dict[str, Any]:
        return [turn for turn in self.by_id[name]["messages"] if turn["role"] == "assistant"][index]


@pytest.fixture
def converted(tmp_path: Path) -> Any:
    return lambda name, *options: Converted(EXPORTS / name, tmp_path, *options)


def test_sharegpt(converted: Any) -> None:
    found = converted("sharegpt_variants.jsonl")
    assert set(found.by_id) == set("w sys sysprompt tools fc tool rolecontent think Human model".split())
    assert [found.answer("w", index).get("weight") for index in (0, 1)] == [0, 1]
    assert found.turns_of("sys") == ["s: You are a pirate.", "u: Who?", "a: Arr."]
    assert found.turns_of("sysprompt") == ["s: Answer in French.", "u: Hello?", "a: Bonjour."]
    assert found.by_id["sysprompt"]["meta"] == {"model": "gpt-4", "source": "airoboros"}
    assert found.by_id["tools"]["tools"] == [{"type": "function", "function": {"name": "get_time"}}]
    assert found.turns_of("fc") == ["u: Hi", "a: Hello.", "u: Weather?", "a: ", 't: {"t":3}', "a: 3 degrees."]
    assert found.answer("fc", 1)["tool_calls"] == [{"type": "function", "function": {"name": "w", "arguments": "{}"}}]
    assert found.turns_of("tool") == ["u: Hi there", "a: Hello!"]
    assert found.turns_of("rolecontent") == ["u: What is up?", "a: Sky."]
    assert found.answer("think") == {"role": "assistant", "content": "4", "reasoning": "two and two"}
    assert found.turns_of("Human") == ["u: Capital letter role", "a: ok"]
    assert found.turns_of("model") == ["u: gemma role", "a: ok"]
    pair, mark = found.faults
    assert (
        "sharegpt_variants.jsonl:11: preference data ('chosen', 'rejected')" in pair and "to train the chosen" in pair
    )
    assert "sharegpt_variants.jsonl:12: preference data ('label'" in mark and "to train the wanted" in mark
    assert "zwei" not in found.output.read_text() and "Berlin" not in found.output.read_text()
    assert found.conversations["set_aside"] == {"source": 1, "model": 1, "image": 1, "images": 1}
    assert found.conversations["dropped"] == {"no exchange left": 2, "unreadable record": 2}
    assert found.turns["dropped"] == {
        "exchange that used a tool": 4,
        "in an unreadable record": 5,
        "exchange with an image, sound or file (<image>)": 2,
        "exchange with an image, sound or file (images)": 2,
    }


def test_openai(converted: Any) -> None:
    found = converted("openai_variants.jsonl")
    read = "reason thinkpart valueparts loss train training tools names prefill developer sys strparts"
    assert set(found.by_id) == set(read.split())
    assert found.answer("reason") == {"role": "assistant", "content": "9", "reasoning": "three threes"}
    assert found.answer("thinkpart") == {"role": "assistant", "content": "16", "reasoning": "four fours"}
    assert found.turns_of("valueparts") == ["u: 5*5?", "a: 25"]
    for name in ("loss", "train", "training"):
        assert [found.answer(name, index)["weight"] for index in (0, 1)] == [0, 1], name
    assert found.by_id["tools"]["tools"] == [{"type": "function", "function": {"name": "f"}}]
    asked = found.by_id["names"]["messages"][0]
    assert asked["content"] == "Ann: I like tea\n\nBob: I like coffee" and asked["meta"] == {
        "name": "Ann",
        "name#2": "Bob",
    }
    assert found.turns_of("prefill") == ["u: Poem", "a: Roses are red"]
    assert found.turns_of("developer") == ["s: Be kind", "u: x?", "a: y"]
    assert found.turns_of("sys") == ["s: Anthropic style system", "u: Who are you?", "a: Cat"]
    assert found.turns_of("strparts") == ["u: plain string part", "a: ok"]
    weight, pair = found.faults
    assert "openai_variants.jsonl:10: messages[1].weight must be a number from 0 to 1, found 5" in weight
    assert "openai_variants.jsonl:16: preference data ('chosen', 'rejected')" in pair
    assert found.turns["repaired"] == {
        "names of speakers put before what they say": 2,
        "turns of one role in a row joined": 1,
        "answer joined with its beginning": 1,
    }
    assert found.turns["dropped"] == {
        "in an unreadable record": 4,
        "exchange with a turn that has no text": 2,
        "exchange with an image, sound or file (<image>)": 2,
    }


@pytest.mark.parametrize("name", ["html_answers.jsonl", "captions.jsonl"])
def test_what_never_was_a_page_stays_to_the_byte(converted: Any, name: str) -> None:
    found = converted(name)
    lines = [json.loads(line) for line in (EXPORTS / name).read_text().splitlines()]
    answers = [line.get("output") or (line.get("messages") or line["conversation"])[-1]["content"] for line in lines]
    assert [found.answer(name)["content"] for name in found.by_id] == answers
    assert not found.turns["repaired"] and not found.turns["dropped"]


def test_html_and_captions_can_be_asked_for(converted: Any) -> None:
    found = converted("html_answers.jsonl", "--html")
    assert found.turns["repaired"] == {"HTML to Markdown": 3}
    assert found.answer(next(iter(found.by_id)))["content"] == "## Title\n\nText"
    assert converted("captions.jsonl", "--captions").turns["kept"] == 2


def test_chatgpt(converted: Any) -> None:
    found = converted("chatgpt_2025.json")
    assert set(found.by_id) == {"c1", "c2", "c3", "c5", "c5/2", "c5/3"}
    assert found.turns_of("c1") == ["u: Why is the sky blue?", "a: Rayleigh scattering."]
    assert found.turns_of("c2") == ["s: You are a chef GPT.", "u: And a carrot?", "a: With a peeler."]
    assert found.answer("c2")["truncated"] and found.by_id["c2"]["meta"] == {"gizmo_id": "g-abc", "title": "gpts"}
    assert found.turns_of("c3") == ["u: Tell me a joke", "a: Knock knock."]
    assert found.turns["dropped"] == {
        "exchange that used a tool": 6,
        "turn that the page does not show": 3,
        "exchange with an image, sound or file (attachments)": 2,
        "exchange that an error of the service ended": 2,
    }


def test_chatgpt_with_a_file_or_an_error_has_no_answer(converted: Any) -> None:
    found = converted("chatgpt_attachment.json")
    assert found.status == 1 and not found.by_id and not found.faults
    assert found.conversations["dropped"] == {"no exchange left": 2}
    assert found.turns["dropped"] == {
        "exchange with an image, sound or file (attachments)": 2,
        "exchange that an error of the service ended": 2,
    }


def test_the_end_of_a_stopped_answer_is_not_trained(converted: Any) -> None:
    found = converted("chatgpt_interrupted.json")
    assert found.answer("s1") == {"role": "assistant", "content": "Mercury, Venus, Ea", "truncated": True}
    [chat] = read_conversations(found.output)
    spans = [(span.text, span.weight) for span in get_template("vicuna_v1.1").spans(chat) if span.answer]
    assert spans[-2:] == [("Mercury, Venus, Ea", 1.0), ("</s>", 0.0)]


def test_oasst(converted: Any) -> None:
    found = converted("oasst_rejected.jsonl")
    assert list(found.by_id) == ["t2"] and found.turns_of("t2") == ["u: Good question", "a: Good answer"]
    assert found.turns["dropped"] == {
        "turn of a tree in the state 'aborted_low_grade'": 2,
        "turn that reviewers rejected": 2,
    }


@pytest.mark.parametrize(("name", "count"), [("pretty_single.json", 1), ("wrapped.json", 5)])
def test_records_in_one_object(converted: Any, name: str, count: int) -> None:
    found = converted(name)
    assert [found.turns_of(f"r{index}") for index in range(count)] == [
        [f"u: question {index}?", f"a: answer {index}."] for index in range(count)
    ]


def test_a_branch_without_an_answer_of_its_own_goes(tmp_path: Path) -> None:
    a_user_went_back = chatgpt(
        a=node("root", "user", "hi", "b"),
        b=node("a", "assistant", "yes", "c1", "c2"),
        c1=node("b", "user", "more?", "d1"),
        d1=node("c1", "assistant", "More."),
        c2=node("b", "user", "never asked"),
    )
    a_user_went_back["current_node"] = "d1"
    path = tmp_path / "export.json"
    path.write_text(json.dumps([a_user_went_back]))
    found = Converted(path, tmp_path)
    assert list(found.by_id) == ["x"] and found.turns_of("x") == ["u: hi", "a: yes", "u: more?", "a: More."]
    assert found.conversations["dropped"] == {"branch without an answer of its own": 1}
    assert found.turns["read"] == found.turns["kept"] + sum(found.turns["dropped"].values()) == 7


def test_what_only_a_table_can_hold(tmp_path: Path) -> None:
    """Times, bytes, and numbers that are not there."""
    when = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
    asked, answered = {"role": "user", "content": "Why?", "timestamp": when}, {"role": "assistant", "content": "So."}
    rows = [
        {"id": "x", "conversation": [asked, answered], "timestamp": when, "score": 0.5, "icon": b"abc", "image": None},
        {"id": "y", "conversation": [asked, answered], "timestamp": None, "score": float("nan"), "icon": None},
        {"id": "z", "conversation": [asked, answered], "image": {"bytes": b"abc", "path": None}},
    ]
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    found = Converted(path, tmp_path, "--repeats")
    assert found.by_id["x"]["meta"] == {"timestamp": "2024-05-01T12:30:00+00:00", "score": 0.5, "icon": "3 bytes"}
    assert found.by_id["x"]["messages"][0]["meta"] == {"timestamp": "2024-05-01T12:30:00+00:00"}
    assert found.by_id["y"]["meta"] == {} and "z" not in found.by_id and not found.faults
    assert found.turns["dropped"] == {"exchange with an image, sound or file (image)": 2}
