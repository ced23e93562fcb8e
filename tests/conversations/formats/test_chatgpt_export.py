"""ChatGPT's exports: branches, and messages that are no text."""

from typing import Any

import pytest

from conversations.formats.readers import read_chats
from tests.conversations.formats.message_trees import chatgpt, chats, node


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
            {"exchange with an image, sound or file (dict)": 3},
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
