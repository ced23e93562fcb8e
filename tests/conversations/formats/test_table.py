"""Every format through `convert`: found by its fields or named, broken, in the help; and how ties are decided."""

import json
import subprocess
import sys
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.errors import UserError
from conversations.formats.table import FORMATS, detect_format

ROOT = Path(__file__).parents[3]
ASKED, ANSWERED = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}


@dataclass(frozen=True)
class Row:
    """Of one format: how the error for an unknown record tells of it, a record that asks `Why?` and is answered
    `Because.`, and one that cannot be read."""

    told: str
    record: dict[str, Any]
    broken: dict[str, Any]
    error: str
    turns: int = 0  # of the broken record, as far as its shape shows them


ROWS = {
    "sharegpt": Row(
        "'conversations' (ShareGPT)",
        {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
        {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gtp", "value": "Because."}]},
        "conversations[1].from: unknown role 'gtp'; did you mean 'gpt'?",
        turns=2,
    ),
    "chatgpt": Row(
        "'mapping' (ChatGPT export)",
        {
            "mapping": {
                "a": {"parent": None, "children": ["b"], "message": None},
                "b": {
                    "parent": "a",
                    "children": ["c"],
                    "message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Why?"]}},
                },
                "c": {
                    "parent": "b",
                    "message": {
                        "author": {"role": "assistant"},
                        "content": {"content_type": "text", "parts": ["Because."]},
                    },
                },
            }
        },
        {"mapping": {"a": {"message": None, "children": ["a"]}}},
        "field 'mapping' has no last message",
    ),
    "claude": Row(
        "'chat_messages' (Claude export)",
        {
            "uuid": "7",
            "chat_messages": [{"sender": "human", "text": "Why?"}, {"sender": "assistant", "text": "Because."}],
        },
        {"chat_messages": [{"sender": "human", "text": "Why?"}, {"sender": "asistant", "text": "Because."}]},
        "chat_messages[1].sender: unknown role 'asistant'; did you mean 'assistant'?",
        turns=2,
    ),
    "oasst": Row(
        "'prompt' (OASST tree)",
        {
            "prompt": {
                "role": "prompter",
                "text": "Why?",
                "replies": [{"role": "assistant", "text": "Because.", "replies": []}],
            }
        },
        {"prompt": {"role": "prompter", "text": 3}},
        "field 'text' must be a string, found 3",
    ),
    "capybara": Row(
        "'conversation' (Capybara, WildChat, LMSYS)",
        {"conversation": [{"input": "Why?", "output": "Because."}]},
        {"conversation": [{"input": "Why?", "output": 3}]},
        "conversation[0]: field 'output' must be a string, found 3",
        turns=1,
    ),
    "wildchat": Row(
        "'conversation' (Capybara, WildChat, LMSYS)",
        {"conversation": [ASKED, ANSWERED]},
        {"conversation": [ASKED, {"role": "assistant"}, ASKED]},
        "conversation[1]: no field 'content'; found ['role']",
        turns=3,
    ),
    "alpaca": Row(
        "'instruction' (Alpaca, Dolly, GPTeacher)",
        {"instruction": "Why?", "output": "Because."},
        {"instruction": "Why?", "input": 3, "output": "Because."},
        "field 'input' must be a string, found 3",
    ),
    "dolly": Row(
        "'instruction' (Alpaca, Dolly, GPTeacher)",
        {"instruction": "Why?", "context": "", "response": "Because."},
        {"instruction": "Why?", "context": 3, "response": "Because."},
        "field 'context' must be a string, found 3",
    ),
    "conversations": Row(
        "'messages' (conversation, OpenAI)",
        {"messages": [ASKED, ANSWERED], "meta": {}},
        {"messages": [ASKED, ANSWERED], "meta": []},
        "field 'meta' must be an object, found list",
        turns=2,
    ),
    "openai": Row(
        "'messages' (conversation, OpenAI)",
        {"messages": [ASKED, {"role": "assistant", "content": [{"type": "text", "text": "Because."}]}]},
        {"messages": [ASKED, {"role": "assistant", "content": [5]}]},
        "messages[1].content must be a string or a list of parts, found 5 in it",
        turns=2,
    ),
    "openai-batch": Row(
        "'body' (OpenAI batch input)",
        {"custom_id": "7", "method": "POST", "body": {"model": "gpt", "messages": [ASKED, ANSWERED]}},
        {"custom_id": "8", "body": {"messages": [ASKED, {"role": "asistant", "content": "Because."}]}},
        "body: messages[1].role: unknown role 'asistant'; did you mean 'assistant'?",
    ),
    "open-orca": Row(
        "'question' (OpenOrca)",
        {"question": "Why?", "response": "Because."},
        {"question": 3, "response": "Because."},
        "field 'question' must be a string, found 3",
    ),
    "oa-instructions": Row(
        "'INSTRUCTION' (OpenAssistant's instructions)",
        {"INSTRUCTION": "Why?", "RESPONSE": "Because."},
        {"INSTRUCTION": "Why?", "RESPONSE": 3},
        "field 'RESPONSE' must be a string, found 3",
    ),
    "query-response": Row(
        "'query' (query and response)",
        {"query": "Why?", "response": "Because."},
        {"query": "Why?", "response": "Because.", "history": [["Why?"]]},
        "history[0] must be a question and its answer, found ['Why?']",
    ),
    "prompt-completion": Row(
        "'completion' (prompt and completion)",
        {"prompt": [ASKED], "completion": [ANSWERED]},
        {"prompt": [ASKED], "completion": "Because."},
        "fields 'prompt' and 'completion' must be both texts, or both lists of messages",
    ),
    "ultrachat": Row(
        "'data' (UltraChat)",
        {"data": ["Why?", "Because."]},
        {"data": ["Why?", None]},
        "data[1] must be a string, found None",
        turns=2,
    ),
}


def test_every_format_has_a_row() -> None:
    assert list(ROWS) == list(FORMATS)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("named", [False, True])
def test_a_record_is_read_and_a_broken_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, named: bool
) -> None:
    row, source, output = ROWS[name], tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(f"{json.dumps(row.record)}\n{json.dumps(row.broken)}\n")
    known = ("--format", name) if named else ()
    assert main(["conversations", "convert", str(source), "--output", str(output), "--quiet", *known]) == 0
    [chat] = [json.loads(line) for line in output.read_text().splitlines()]
    assert [turn["content"] for turn in chat["messages"]] == ["Why?", "Because."]
    assert [turn["role"] for turn in chat["messages"]] == ["user", "assistant"]
    assert f"dropped: {source}:2: {row.error}" in capsys.readouterr().err
    _, turns = json.loads(output.with_suffix(".ledger.json").read_text())["ledgers"]
    assert turns["dropped"].get("in an unreadable record", 0) == row.turns


def test_a_record_of_two_shapes_is_of_the_first() -> None:
    """The rows stand in the order that was decided on; `conversations` and `openai` differ in `meta` alone."""
    for first, second in combinations(ROWS, 2):
        record = {**ROWS[second].record, **ROWS[first].record}
        assert detect_format(record, "x").name == first
        assert detect_format(dict(reversed(record.items())), "x").name == first


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"conversations": "x", "mapping": [], "prompt": "x", "conversation": None, "instruction": 1}, "alpaca"),
        ({"conversations": "x", "messages": None}, "openai"),
        ({"prompt": "x", "messages": [], "meta": None}, "conversations"),
    ],
)
def test_a_field_of_another_type_gives_nothing_away(record: dict[str, Any], name: str) -> None:
    assert detect_format(record, "x").name == name


def test_an_unknown_record_is_told_what_is_read() -> None:
    with pytest.raises(UserError) as caught:
        detect_format({"text": 1, "prompt": "x"}, "a.jsonl:3")
    start, expected = str(caught.value).split("; expected ")
    assert start == "a.jsonl:3: unknown record with fields ['prompt', 'text']"
    *told, last = dict.fromkeys(sorted((row.told for row in ROWS.values()), key=lambda told: "'messages'" not in told))
    assert expected == f"{', '.join(told)} or {last}"


def test_the_help_says_what_the_last_branch_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["conversations", "convert", "--help"])
    assert "of a tree: all, or the last shown or best ranked" in " ".join(capsys.readouterr().out.split())


def test_the_table_is_light() -> None:
    """The command line needs it for its help."""
    code = "import sys, conversations.command; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "conversations.formats.table" in loaded.split()
    assert not {"jinja2", "numpy", "pyarrow", "tokenizers", "transformers"} & set(loaded.split())
