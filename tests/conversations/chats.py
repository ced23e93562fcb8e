"""A conversation from its texts."""

from camelid.message import Conversation, Message


def chat(name: str, *texts: str, weight: float | None = None) -> Conversation:
    turns = [
        Message("assistant", text, weight) if index % 2 else Message("user", text) for index, text in enumerate(texts)
    ]
    return Conversation(name, tuple(turns))
