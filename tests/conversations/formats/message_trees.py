"""Chats as the readers make them, and ChatGPT's trees of messages to make them from."""

from typing import Any

from conversations.formats.chat import Branches
from conversations.formats.readers import read_chats


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


def node(parent: str | None, role: str, text: str, *children: str, **more: Any) -> dict[str, Any]:
    content = more.pop("content", {"content_type": "text", "parts": [text]})
    message = {"author": {"role": role}, "content": content, **more}
    return {"message": message, "parent": parent, "children": list(children)}


def chatgpt(**nodes: Any) -> Any:
    root = {"root": {"message": None, "parent": None, "children": ["a"]}}
    return {"conversation_id": "x", "title": "T", "mapping": {**root, **nodes}, "current_node": "c2"}
