"""Every format becomes a conversation; what does not fit is named by place and field."""

import json
from pathlib import Path
from typing import Any

import pytest

from camelid.errors import UserError
from camelid.message import Conversation, Message
from conversations.formats.chat import Branches
from conversations.formats.readers import read_chats, read_conversations, scan_chats

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


def chats(record: Any, branches: Branches = "all") -> list[tuple[str, list[str], dict[str, int]]]:
    """Each chat of a record as its id, its turns (`u: text`) and what was lost."""
    return [
        (
            chat.conversation.id,
            [f"{message.role[0]}: {message.content}" for message in chat.conversation.messages],
            dict(chat.lost),
        )
        for chat in read_chats(record, "PLACE", branches=branches)
    ]


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
        (openai(USER, ANSWER, IMAGE, ANSWER), ["u: hi", "a: yes"], {"exchange with an image, sound or file": 2}),
        (openai(USER, {"role": "assistant", "content": None, "refusal": "no"}), ["u: hi", "a: no"], {}),
        ({"conversation_id": "x", "model": "m", "conversation": [USER, ANSWER]}, ["u: hi", "a: yes"], {}),
        ({"conversation_hash": "x", "conversation": [{**USER, "toxic": False}, ANSWER]}, ["u: hi", "a: yes"], {}),
    ],
)
def test_openai_and_wildchat(record: Any, turns: list[str], lost: dict[str, int]) -> None:
    assert chats(record) == [("x", turns, lost)]


def node(parent: str | None, role: str, text: str, *children: str, **more: Any) -> dict[str, Any]:
    content = more.pop("content", {"content_type": "text", "parts": [text]})
    message = {"author": {"role": role}, "content": content, **more}
    return {"message": message, "parent": parent, "children": list(children)}


def chatgpt(**nodes: Any) -> Any:
    root = {"root": {"message": None, "parent": None, "children": ["a"]}}
    return {"conversation_id": "x", "title": "T", "mapping": {**root, **nodes}, "current_node": "c2"}


def test_chatgpt_branches() -> None:
    record = chatgpt(
        a=node("root", "user", "hi", "b"),
        b=node("a", "assistant", "yes", "c1", "c2"),
        c1=node("b", "user", "first"),
        c2=node("b", "user", "second"),
    )
    shown = ("x", ["u: hi", "a: yes", "u: second"], {})
    assert chats(record) == [shown, ("x/2", ["u: hi", "a: yes", "u: first"], {})]
    assert chats(record, "last") == [shown]
    assert [chat.conversation.meta for chat in read_chats(record, "P")] == [{"title": "T", "tree": "x"}] * 2


@pytest.mark.parametrize(
    ("message", "turns", "lost"),
    [
        (node("a", "tool", "42", "c2"), [], {"exchange that used a tool": 3}),
        (node("a", "assistant", "search()", "c2", recipient="browser"), [], {"exchange that used a tool": 3}),
        (
            node("a", "assistant", "", "c2", content={"content_type": "thoughts", "thoughts": []}),
            ["u: hi", "a: yes"],
            {"turn that the page does not show": 1},
        ),
        (
            node(
                "a",
                "user",
                "",
                "c2",
                content={"content_type": "multimodal_text", "parts": [{"asset_pointer": "f"}, "?"]},
            ),
            [],
            {"exchange with an image, sound or file": 3},
        ),
        (
            node("a", "system", "be kind", "c2", metadata={"is_visually_hidden_from_conversation": True}),
            ["u: hi", "a: yes"],
            {"turn that the page does not show": 1},
        ),
    ],
)
def test_chatgpt_messages(message: Any, turns: list[str], lost: dict[str, int]) -> None:
    record = chatgpt(a=node("root", "user", "hi", "b"), b=message, c2=node("b", "assistant", "yes"))
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


def test_oasst_trees_and_rows(tmp_path: Path) -> None:
    def reply(name: str, rank: int | None, *replies: Any) -> Any:
        role = "prompter" if name in "qr" else "assistant"
        return {"message_id": name, "role": role, "text": name, "rank": rank, "replies": list(replies)}

    tree = {
        "message_tree_id": "t",
        "prompt": reply("q", None, reply("a", 1), reply("b", 0, reply("r", None, reply("c", 0)))),
    }
    best = ("t", ["u: q", "a: b", "u: r", "a: c"], {})
    assert chats(tree) == [best, ("t/2", ["u: q", "a: a"], {})]
    assert chats(tree, "last") == [best]

    def rows(item: Any, parent: str | None) -> Any:
        yield {**item, "replies": None, "parent_id": parent, "message_tree_id": "t"}
        for child in item["replies"]:
            yield from rows(child, item["message_id"])

    path = tmp_path / "rows.jsonl"
    alone = {**next(rows(reply("q", None), None)), "message_tree_id": "u"}
    orphan = {**next(rows(reply("z", None), "gone")), "message_tree_id": "u"}
    path.write_text("\n".join(json.dumps(row) for row in [*rows(tree["prompt"], None), alone, orphan]))
    first, second, third = (record for _, record in scan_chats(path))
    assert chats(first) == [best, ("t/2", ["u: q", "a: a"], {})]
    assert isinstance(second, UserError) and "rows.jsonl:7: parent 'gone' is not beside it" in str(second)
    assert chats(third) == [("u", ["u: q"], {})]


def test_strict_reading_refuses_what_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(openai(USER, CALL, RESULT, ANSWER)))
    with pytest.raises(UserError, match=r"a\.jsonl:1: not text alone \(exchange that used a tool\)"):
        list(read_conversations(path))


def test_a_named_format_is_taken_at_its_word() -> None:
    with pytest.raises(UserError, match="PLACE: no field 'mapping' in this chatgpt record"):
        list(read_chats({"id": 1}, "PLACE", "chatgpt"))
