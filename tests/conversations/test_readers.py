"""Every format becomes a conversation; what does not fit is named by place and field."""

import json
from pathlib import Path
from typing import Any

import pytest

from camelid.errors import UserError
from conversations.message import Conversation, Message
from conversations.readers import read_conversations

EXCHANGE = (Message("user", "hi"), Message("assistant", "yes"))


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (
            {"id": "x", "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yes"}]},
            Conversation("x", EXCHANGE),
        ),
        (
            {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]},
            Conversation("PLACE", EXCHANGE),
        ),
        (
            {"id": 7, "messages": [{"role": "assistant", "content": "x", "weight": 0.5}], "meta": {"a": 1}},
            Conversation("7", (Message("assistant", "x", 0.5),), {"a": 1}),
        ),
        (
            {"instruction": "Add", "input": "1, 2", "output": "3"},
            Conversation(
                "PLACE",
                (Message("user", "Add\n\n1, 2"), Message("assistant", "3")),
                {"instruction": "Add", "input": "1, 2"},
            ),
        ),
    ],
)
@pytest.mark.parametrize("as_array", [False, True])
def test_formats(tmp_path: Path, record: Any, expected: Conversation, as_array: bool) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([record]) if as_array else json.dumps(record) + "\n")
    [got] = read_conversations(path)
    place = f"{path}[0]" if as_array else f"{path}:1"
    assert (got.messages, got.meta) == (expected.messages, expected.meta)
    assert got.id == expected.id.replace("PLACE", place)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": "x"}, r"unknown record with fields \['text'\]"),
        ({"instruction": "a", "output": None}, "field 'output' must be a string, found None"),
        ({"messages": []}, "field 'messages' must be a non-empty list"),
        (
            {"messages": [{"role": "usr", "content": "x"}]},
            r"messages\[0\]\.role: unknown role 'usr'; did you mean 'user'",
        ),
        ({"messages": [{"role": "user", "content": 1}]}, r"messages\[0\]\.content must be a string, found int"),
        (
            {"messages": [{"role": "user", "content": "", "weight": 2}]},
            r"messages\[0\]\.weight must be a number from 0 to 1",
        ),
        ({"conversations": ["x"]}, r"conversations\[0\] must be an object"),
    ],
)
def test_mistakes(tmp_path: Path, record: Any, message: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n' + json.dumps(record) + "\n")
    with pytest.raises(UserError, match=r"data\.jsonl:2: " + message):
        list(read_conversations(path))
