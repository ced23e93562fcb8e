"""The parts that a turn's content may be a list of: text, thoughts, and what is neither."""

import json
from dataclasses import dataclass, field
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import ToolCall, merge_meta, read_tool_call
from conversations.formats.chat import TOOL, media_reason
from conversations.formats.fields import KnownFields, as_json
from conversations.formats.weights import WEIGHTS, read_weight

# Types of parts in OpenAI's Chat Completions and Responses, Anthropic's Messages, and Hugging Face's data sets.
_TEXT = frozenset(("text", "input_text", "output_text", "refusal"))
_THOUGHT = frozenset(("thinking", "reasoning", "redacted_thinking"))
_TOOLS = ("tool", "function")  # server_tool_use, function_call, ...; of Anthropic's, two are read:
_CALL, _RESULT = "tool_use", "tool_result"
_TEXT_FIELDS = ("text", "value", "content", "refusal")
_THOUGHT_FIELDS = ("thinking", "reasoning", "text", "content")
# Besides its text.
_PART = KnownFields(frozenset(("type", *WEIGHTS)), frozenset(("signature",)))


@dataclass(slots=True)
class Content:
    """What the parts of a turn come to.

    Attributes:
        text: all texts, joined; None if there is no text among them.
        reasoning: the thoughts; None if there are none.
        weights: the share of the loss that each text says it has; None if it says nothing.
        calls: the tools that are called; None for a call that cannot be read.
        results: what tools gave, each with the id of its call.
        lost: why the turn is no text alone; None if it is.
        others: fields of parts that are set aside.
    """

    text: str | None = None
    reasoning: str | None = None
    weights: list[float | None] = field(default_factory=list)
    calls: list[ToolCall | None] = field(default_factory=list)
    results: list[tuple[str | None, str]] = field(default_factory=list)
    lost: str | None = None
    others: dict[str, Any] = field(default_factory=dict)


def join_reasoning(*thoughts: str | None) -> str | None:
    """Several thoughts as one; None if there are none."""
    return "\n\n".join(thought for thought in thoughts if thought) or None


def join_parts(parts: list[Any], place: str, tools: bool = False) -> Content:
    """Read the parts of one turn, with those of tools if they can be told apart; else such a turn is lost.

    Raises:
        UserError: a part is neither text nor an object with one; `place` names the turn.
    """
    content = Content()
    for index, part in enumerate(parts):
        where = f"{place}.content[{index}]"
        part = {"text": part} if isinstance(part, str) else part
        if not isinstance(part, dict):
            raise UserError(f"{place}.content must be a string or a list of parts, found {part!r} in it")
        kind = str(part.get("type") or "text")
        if kind in _THOUGHT:
            text = _take_text(part, _THOUGHT_FIELDS, content)
            content.reasoning = join_reasoning(content.reasoning, text)
        elif tools and kind == _CALL:
            content.calls.append(_read_call(part, where))
        elif tools and kind == _RESULT:
            content.results.append((part.get("tool_use_id"), _result_text(part.get("content"), where)))
        elif kind in _TEXT and content.calls:  # said after a call, which stands at the end of a turn
            content.lost = TOOL
        elif kind in _TEXT:
            text = _take_text(part, _TEXT_FIELDS, content)
            if text is None:
                raise UserError(f"{where}: a part of type {kind!r} must have a string 'text', found {sorted(part)}")
            content.text = (content.text or "") + text
            content.weights.append(read_weight(part, f"{where}."))
        else:
            content.lost = TOOL if any(word in kind for word in _TOOLS) else media_reason(kind)
            return content
    return content


def read_plain_text(value: object, place: str) -> Content:
    """A text, or a list of parts that are texts.

    Raises:
        UserError: it is neither.
    """
    if isinstance(value, str):
        return Content(value)
    content = join_parts(value, place) if isinstance(value, list) else Content(lost="")
    if content.lost is not None or content.reasoning:
        raise UserError(f"{place} must be a string or a list of texts, found {type(value).__name__}")
    return content


def _read_call(part: Record, where: str) -> ToolCall | None:
    """A call; None if it cannot be read."""
    called = {"id": part.get("id"), "function": {"name": part.get("name"), "arguments": part.get("input")}}
    try:
        return read_tool_call(called, where)
    except UserError:
        return None


def _result_text(value: object, where: str) -> str:
    """What a tool gave: a text, parts that are texts, or any other JSON."""
    if isinstance(value, str) or value is None:
        return value or ""
    try:
        return read_plain_text(value, where).text or ""
    except UserError:
        return json.dumps(as_json(value), ensure_ascii=False)


def _take_text(part: Record, names: tuple[str, ...], content: Content) -> str | None:
    """The text of a part, in the first of the fields that has one; what else it holds is set aside."""
    found = next((name for name in names if isinstance(part.get(name), str)), None)
    others = _PART.others(part)
    text = others.pop(found, "") if found else None
    content.others = merge_meta(content.others, others)
    return text
