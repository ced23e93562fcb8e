"""Chats written as one text, as Anthropic's: `\\n\\nHuman: ...\\n\\nAssistant: ...`."""

import re

from camelid.message import Message, Role
from conversations.formats.chat import LostTurn
from conversations.formats.turns import read_text

_SPEAKERS: dict[str, Role] = {"Human": "user", "Assistant": "assistant", "System": "system"}
_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant|System):")
_BEGINNING = re.compile(r"\s*(?:Human|System):")


def is_transcript(text: object) -> bool:
    """Whether a text is a chat that a person begins."""
    return isinstance(text, str) and _BEGINNING.match(text) is not None


def read_transcript(text: str) -> list[Message | LostTurn]:
    """The turns of a transcript; one at the end that says nothing yet (`Assistant:`) is left out."""
    parts = _TURN.split("\n\n" + text.lstrip())[1:]
    turns = [(_SPEAKERS[name], said.strip()) for name, said in zip(parts[::2], parts[1::2], strict=True)]
    if turns and turns[-1][0] == "assistant" and not turns[-1][1]:
        turns.pop()
    return [read_text(role, said) for role, said in turns]
