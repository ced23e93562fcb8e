"""Every format becomes a conversation; what does not fit is named by place and field."""

import json
from pathlib import Path
from typing import Any

import pytest

from camelid.errors import UserError
from camelid.message import Conversation, Message
from conversations.formats.readers import read_chats, read_conversations
from tests.conversations.formats.message_trees import chatgpt, chats, node

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
            {"id": None, "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yes"}]},
            Conversation("PLACE", EXCHANGE),
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
        ({"txt": "x"}, r"unknown record with fields \['txt'\]"),
        ({"instruction": "a", "output": 3}, "field 'output' must be a string, found 3"),
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


def openai(*messages: dict[str, Any]) -> Any:
    return {"id": "x", "messages": list(messages)}


USER, ANSWER = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
RESULT = {"role": "tool", "content": "42"}
IMAGE = {"role": "user", "content": [{"type": "text", "text": "what is"}, {"type": "image_url", "image_url": {}}]}


@pytest.mark.parametrize(
    ("record", "turns", "lost"),
    [
        (openai({"role": "developer", "content": "be kind"}, USER, ANSWER), ["s: be kind", "u: hi", "a: yes"], {}),
        (
            openai({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, ANSWER),
            ["u: ab", "a: yes"],
            {},
        ),
        (
            openai(USER, CALL, RESULT, ANSWER, USER, ANSWER),
            ["u: hi", "a: yes"],
            {"exchange that used a tool": 4},
        ),
        (
            openai(USER, ANSWER, IMAGE, ANSWER),
            ["u: hi", "a: yes"],
            {"exchange with an image, sound or file (image_url)": 2},
        ),
        (openai(USER, {"role": "assistant", "content": None, "refusal": "no"}), ["u: hi", "a: no"], {}),
        ({"conversation_id": "x", "model": "m", "conversation": [USER, ANSWER]}, ["u: hi", "a: yes"], {}),
        ({"conversation_hash": "x", "conversation": [{**USER, "toxic": False}, ANSWER]}, ["u: hi", "a: yes"], {}),
    ],
)
def test_openai_and_wildchat(record: Any, turns: list[str], lost: dict[str, int]) -> None:
    assert chats(record) == [("x", turns, lost)]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (chatgpt(a=node("b", "user", "x", "b"), b=node("a", "user", "y", "a"), root=None), "must be an object"),
        ({"mapping": {"a": node("b", "user", "x", "b"), "b": node("a", "user", "y", "a")}}, "has no last message"),
        ({"mapping": {"c": node("c", "user", "x")}}, "is its own ancestor"),
        ({"mapping": {"c": node(None, "robot", "x")}}, "unknown role 'robot'"),
        ({"mapping": {"c": {"message": "x"}}}, "must have objects 'author' and 'content'"),
        ({"mapping": {}}, "has no last message"),
        ({"prompt": {"role": "robot", "text": "x"}}, "unknown role 'robot'"),
        ({"prompt": {"role": "prompter", "text": "x", "replies": [1]}}, "a message must be an object"),
        ({"messages": "x"}, "must be a non-empty list"),
    ],
)
def test_trees_that_are_none(record: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        chats(record)


def test_strict_reading_refuses_what_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(openai(USER, CALL, RESULT, ANSWER)))
    with pytest.raises(UserError, match=r"a\.jsonl:1: not text alone \(exchange that used a tool\)"):
        list(read_conversations(path))


def test_a_named_format_is_taken_at_its_word() -> None:
    with pytest.raises(UserError, match="PLACE: no field 'mapping' in this chatgpt record"):
        list(read_chats({"id": 1}, "PLACE", "chatgpt"))
