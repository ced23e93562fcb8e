"""Messages as transformers' chat templates take them."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from camelid.message import Message
from conversations.tokens.inline_thinking import THINK_CLOSE, THINK_OPEN

_SHORT_ID = re.compile(r"[a-zA-Z0-9]{9}")  # what Mistral's templates take


@dataclass(frozen=True)
class TemplateDialect:
    """What a chat template wants to be given.

    Attributes:
        reasoning: the field in which it looks for what was thought; None if it has none.
        inline: whether thinking is written before the answer, in one text with it, since there is no field for it.
        short_ids: whether ids of calls must be nine letters and digits.
    """

    reasoning: str | None = None
    inline: bool = False
    short_ids: bool = False


# Who marks a text so that it is found again in what the template writes: takes the text, and whose it is (the index of
# the message, -1 for tools) and whether it is thinking.
Marker = Callable[[str, int, bool], str]


def chat_record(messages: Sequence[Message], dialect: TemplateDialect, mark: Marker) -> list[dict[str, Any]]:
    """The messages as objects, with OpenAI's names; arguments of calls are objects, too, as transformers wants them."""
    record, called = [], list[tuple[str, str]]()  # of the last calls, ids and names
    for index, message in enumerate(messages):
        one: dict[str, Any] = {"role": message.role, "content": mark(message.content, index, False)}
        thought = mark(message.reasoning, index, True) if message.reasoning else ""
        if thought and dialect.reasoning:
            one[dialect.reasoning] = thought
        elif thought and dialect.inline:
            one["content"] = f"{THINK_OPEN}{thought}{THINK_CLOSE}{one['content']}"
        if message.tool_calls:
            ids = [_call_id(call.id, number, dialect) for number, call in enumerate(message.tool_calls)]
            called = [(name, call.name) for name, call in zip(ids, message.tool_calls, strict=True)]
            one["tool_calls"] = [
                {"id": name, "type": "function", "function": _function(call.name, call.arguments, index, mark)}
                for name, call in zip(ids, message.tool_calls, strict=True)
            ]
        if message.role == "tool":
            wanted = message.tool_call_id and _call_id(message.tool_call_id, 0, dialect)
            answered = next((pair for pair in called if pair[0] == wanted), called[0] if called else ("", ""))
            called = [pair for pair in called if pair is not answered]
            one |= {"tool_call_id": answered[0], "name": answered[1]}
        record.append(one)
    return record


def unmarked(text: str, owner: int, thought: bool) -> str:
    """The marker that marks nothing."""
    return text


def count_texts(message: Message) -> int:
    """How many texts of a message a marker marks, thinking and blank ones aside."""
    count = 0

    def seen(text: str) -> str:
        nonlocal count
        count += bool(text.strip())
        return text

    seen(message.content)
    for call in message.tool_calls:
        seen(call.name)
        mark_leaves(json.loads(call.arguments), seen)
    return count


def mark_leaves(value: Any, mark: Callable[[str], str]) -> Any:
    """A value of JSON with all its texts marked, names of fields as well."""
    if isinstance(value, str):
        return mark(value)
    if isinstance(value, dict):
        return {mark(name): mark_leaves(held, mark) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [mark_leaves(held, mark) for held in value]
    return value


def _function(name: str, arguments: str, index: int, mark: Marker) -> dict[str, Any]:
    held = mark_leaves(json.loads(arguments), lambda text: mark(text, index, False))
    return {"name": mark(name, index, False), "arguments": held}


def _call_id(name: str | None, number: int, dialect: TemplateDialect) -> str:
    """The id of a call; where there is none, its place."""
    name = f"call{number:05}" if name is None else name
    if not dialect.short_ids or _SHORT_ID.fullmatch(name):
        return name
    return hashlib.sha256(name.encode()).hexdigest()[:9]
