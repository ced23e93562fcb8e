"""Texts marked before a chat template is rendered, and found again in what it writes.

The marks stand within the blanks around a text, so that a template which trims them does so all the same.
"""

import re
from dataclasses import dataclass

OPEN, CLOSE = "\ufdd0", "\ufdd1"  # noncharacters: they stand in no text that is meant for interchange
_OWNER, _THOUGHT = 0xF0000, 0xF8000  # behind `OPEN`: a letter of a plane of private use that says whose the text is
_MARKED = re.compile(f"{OPEN}(.)([^{OPEN}{CLOSE}]*){CLOSE}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A stretch of what a template wrote.

    Attributes:
        text: the characters.
        typed: whether somebody's text, not the template's.
        owner: of somebody's text, the index of the message; -1 of the tools.
        thought: whether it is thinking.
    """

    text: str
    typed: bool = False
    owner: int = -1
    thought: bool = False


def mark_text(text: str, owner: int, thought: bool) -> str:
    """The text in marks; one that is blank has none."""
    core = text.strip()
    if not core:
        return text
    start = text.index(core)
    letter = chr((_THOUGHT if thought else _OWNER) + owner + 1)
    return f"{text[:start]}{OPEN}{letter}{core}{CLOSE}{text[start + len(core) :]}"


def cut_at_marks(text: str) -> list[MarkedText]:
    """What a template wrote of marked texts, as stretches, without the marks."""
    found, done = [], 0
    for match in _MARKED.finditer(text):
        found.append(MarkedText(text[done : match.start()]))
        letter, thought = ord(match[1]), ord(match[1]) >= _THOUGHT
        found.append(MarkedText(match[2], True, letter - (_THOUGHT if thought else _OWNER) - 1, thought))
        done = match.end()
    return [one for one in [*found, MarkedText(text[done:])] if one.text]
