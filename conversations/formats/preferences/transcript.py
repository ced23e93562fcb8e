"""Chats written as one text: Anthropic's (`Human: ...`, `Assistant: ...`) and NeMo's (`<extra_id_1>Assistant`)."""

import re

from camelid.message import Message, Role
from conversations.formats.chat import LostTurn
from conversations.formats.turns import read_text

_SPEAKERS: dict[str, Role] = {"Human": "user", "User": "user", "Assistant": "assistant", "System": "system"}
_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant|System):")
_BEGINNING = re.compile(r"\s*(?:Human|System):")
_MARKED = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")  # what follows the first turn of HelpSteer2's longer prompts


def is_transcript(text: object) -> bool:
    """Whether a text is a chat that a person begins, and the assistant goes on with, as Anthropic's."""
    return isinstance(text, str) and "\n\nAssistant:" in text and _BEGINNING.match(text) is not None


def read_transcript(text: str) -> list[Message | LostTurn]:
    """The turns of Anthropic's transcript."""
    return _turns(_TURN.split("\n\n" + text.lstrip())[1:])


def read_prompt_text(text: str) -> list[Message | LostTurn]:
    """The turns of a prompt that is a text: of a transcript, or one of the user's."""
    if is_transcript(text):
        return read_transcript(text)
    if _MARKED.search(text):
        return _turns(["User", *_MARKED.split(text)])
    return [read_text("user", text)]


def _turns(parts: list[str]) -> list[Message | LostTurn]:
    """The turns of speakers and texts in turn; an answer at the end that says nothing yet is left out."""
    turns = [(_SPEAKERS[name], said.strip()) for name, said in zip(parts[::2], parts[1::2], strict=True)]
    if turns and turns[-1][0] == "assistant" and not turns[-1][1]:
        turns.pop()
    return [read_text(role, said) for role, said in turns]
