"""Calls of tools, and what they gave, where both stand in a text, as Hermes and Qwen write them."""

import ast
import json
import re
from typing import Any, NamedTuple

from camelid.errors import UserError
from camelid.message import ToolCall, read_tool_call

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_RESULT = re.compile(r"\s*<tool_response>\n?(.*?)\n?</tool_response>\s*", re.DOTALL)
_SCHEMAS = re.compile(r"<tools>.*</tools>", re.DOTALL)


class Called(NamedTuple):
    """What a model says, and what it calls after that."""

    text: str
    calls: tuple[ToolCall, ...]


def find_calls(text: str) -> Called | None:
    """Tell the calls in a model's text from the rest of it; None if there are none, or if one cannot be read.

    Text after a call, which would not be said where it stands, counts as a call that cannot be read.
    """
    if "<tool_call>" not in text:
        return None
    said, _, called = text.partition("<tool_call>")
    called = f"<tool_call>{called}"
    if _CALL.sub("", called).strip():
        return None
    try:
        calls = tuple(read_tool_call(read_object(body), "") for body in _CALL.findall(called))
    except UserError:
        return None
    return Called(said.rstrip(), calls) if calls else None


def split_results(text: str) -> list[str]:
    """What tools gave: each result in a text that is nothing but such, or the text itself."""
    found = _RESULT.findall(text)
    return found if found and not _RESULT.sub("", text) else [text]


def spells_tools(text: str) -> bool:
    """Whether a system message says itself which tools there are."""
    return "<tools>" in text and _SCHEMAS.search(text) is not None


def read_object(text: str) -> Any:
    """A value written as JSON, or as Python writes it (Hermes's data does both); None if it is neither."""
    try:
        return json.loads(text)
    except ValueError:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            return None
