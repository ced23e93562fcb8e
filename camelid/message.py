"""Message and Conversation: the one shape all chat data takes after a reader made it.

Calls of tools have the names that OpenAI's API has for them: `tools`, `tool_calls`, the role `tool`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from camelid.errors import UserError, suggest_name

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)
Tool = Mapping[str, Any]  # {"type": "function", "function": {"name", "description", "parameters"}}


_NO_META: Mapping[str, Any] = {}  # one for all messages: a dictionary for each costs a tenth of the time of reading


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the assistant asks for.

    Attributes:
        name: of the function.
        arguments: a JSON object, as text.
        id: by which its result names it; None where results come in the order of the calls.
    """

    name: str
    arguments: str
    id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As OpenAI's API has it."""
        named = {} if self.id is None else {"id": self.id}
        return {**named, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


@dataclass(frozen=True, slots=True)
class Message:
    """One turn.

    Attributes:
        role: who speaks; `tool` is what a call gave.
        content: the text, exactly as the model shall see it.
        weight: share of the loss this turn carries, 0..1; None means the default (1 for the assistant).
            Only assistant turns are trained, whatever their weight.
        reasoning: what the assistant thought before it spoke, without tags; `data.thinking` of a recipe says what
            becomes of it.
        truncated: whether the text was cut off, so that its end of turn must not be trained.
        meta: anything else worth keeping of this turn (a speaker's `name`, a time, ...).
        tool_calls: what the assistant calls, after its text if it has any.
        tool_call_id: of a `tool` turn, which call it answers; None where results come in the order of the calls.
    """

    role: Role
    content: str
    weight: float | None = None
    reasoning: str | None = None
    truncated: bool = False
    meta: Mapping[str, Any] = field(default_factory=lambda: _NO_META, hash=False)
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Role and content, and whatever else there is."""
        record: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            record["tool_calls"] = [call.to_json() for call in self.tool_calls]
        if self.tool_call_id is not None:
            record["tool_call_id"] = self.tool_call_id
        if self.weight is not None:
            record["weight"] = self.weight
        if self.reasoning is not None:
            record["reasoning"] = self.reasoning
        if self.truncated:
            record["truncated"] = True
        if self.meta:
            record["meta"] = self.meta
        return record


@dataclass(frozen=True, slots=True)
class Conversation:
    """A chat: an optional system message, then turns.

    Attributes:
        id: unique within its file.
        messages: the turns in order.
        meta: anything else worth keeping (source, `instruction` and `input` of an Alpaca record, ...).
        tools: what the assistant may call.
    """

    id: str
    messages: tuple[Message, ...]
    meta: dict[str, Any] = field(default_factory=dict)
    tools: tuple[Tool, ...] = ()

    def to_json(self) -> dict[str, Any]:
        tools = {"tools": list(self.tools)} if self.tools else {}
        messages = [message.to_json() for message in self.messages]
        return {"id": self.id, **tools, "messages": messages, "meta": self.meta}

    @staticmethod
    def from_json(record: dict[str, Any], place: str) -> "Conversation":
        """Read one line of a conversation file.

        Args:
            record: the JSON object.
            place: `file:line`, for errors.

        Raises:
            UserError: a field is missing, has the wrong type, or a role is unknown.
        """
        turns = read_messages(record, "messages", place)
        tools = read_tools(record.get("tools"), f"{place}: tools")
        return Conversation(record_id(record, place), turns, read_meta(record, place), tools)


def read_messages(record: dict[str, Any], name: str, place: str) -> tuple[Message, ...]:
    """The messages that a field of a record lists, as `Message.to_json` writes them.

    Raises:
        UserError: it is no list of them, or lists none.
    """
    messages = record.get(name)
    if not isinstance(messages, list) or not messages:
        raise UserError(f"{place}: field {name!r} must be a non-empty list of {{role, content}} objects")
    return tuple(_message(item, f"{place}: {name}[{index}]") for index, item in enumerate(messages))


def read_tools(value: object, place: str) -> tuple[Tool, ...]:
    """Tools as OpenAI's API has them, or their functions alone, or either as a text that holds JSON; none for null.

    Raises:
        UserError: it is no list of functions that have names; `place` names the field.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except ValueError:
            raise UserError(f"{place} must be a list of functions, found a text that is no JSON") from None
    if not isinstance(value, list | None):
        raise UserError(f"{place} must be a list of functions, found {type(value).__name__}")
    return tuple(_tool(item, f"{place}[{index}]") for index, item in enumerate(value or ()))


def read_tool_calls(value: object, place: str) -> tuple[ToolCall, ...]:
    """Calls as OpenAI's API has them, whose arguments may also be an object; none for null.

    Raises:
        UserError: it is no list of calls, or the arguments of one are no JSON object; `place` names the field.
    """
    if not isinstance(value, list | None):
        raise UserError(f"{place} must be a list of calls, found {type(value).__name__}")
    return tuple(read_tool_call(item, f"{place}[{index}]") for index, item in enumerate(value or ()))


def read_tool_call(item: object, place: str) -> ToolCall:
    """One call: `{"id", "function": {"name", "arguments"}}`, or its function alone.

    Raises:
        UserError: it has no name, or its arguments are no JSON object, nor a text that holds one.
    """
    function = item.get("function", item) if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise UserError(f"{place} must be a call of a function with a 'name', found {item!r:.80}")
    arguments, name = function.get("arguments"), item.get("id")
    try:
        held = json.loads(arguments) if isinstance(arguments, str) and arguments.strip() else arguments or {}
        text = arguments if isinstance(arguments, str) and arguments.strip() else json.dumps(held, ensure_ascii=False)
    except (ValueError, TypeError):
        held, text = None, ""
    if not isinstance(held, dict):
        raise UserError(f"{place}.arguments must be a JSON object, found {arguments!r:.80}")
    return ToolCall(function["name"], text, str(name) if name else None)


def read_meta(record: dict[str, Any], place: str) -> dict[str, Any]:
    """What a record's `meta` holds; nothing where there is none.

    Raises:
        UserError: it is no object.
    """
    meta = record.get("meta", {})
    if not isinstance(meta, dict):
        raise UserError(f"{place}: field 'meta' must be an object, found {type(meta).__name__}")
    return meta


def record_id(record: dict[str, Any], place: str) -> str:
    """The record's own id, or its place where it has none."""
    name = record.get("id")
    return place if name is None or name == "" else str(name)


def join_messages(messages: Sequence[Message], content: str) -> Message:
    """Several turns of one role as one that says `content`.

    What one of them says of the loss counts for the whole, the smallest weight of them: what was marked not to be
    learned stays so.
    """
    meta = _NO_META
    for message in messages:
        meta = merge_meta(meta, message.meta)
    return Message(
        messages[0].role,
        content,
        min((message.weight for message in messages if message.weight is not None), default=None),
        "\n\n".join(message.reasoning for message in messages if message.reasoning) or None,
        messages[-1].truncated,
        meta,
        tuple(call for message in messages for call in message.tool_calls),
        messages[0].tool_call_id,
    )


def merge_meta(meta: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """`meta` with more in it; a name that it has already, for another value, gets a number: `source#2`."""
    merged = dict(meta)
    for name in sorted(more):
        key, number = name, 1
        while key in merged and merged[key] != more[name]:
            number += 1
            key = f"{name}#{number}"
        merged[key] = more[name]
    return merged


def check_weight(value: object, where: str) -> float | None:
    """A share of the loss; None for null.

    Raises:
        UserError: it is no number from 0 to 1; `where` names its file, line and field.
    """
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(cast(float, value)) or not 0 <= cast(float, value) <= 1:
        raise UserError(f"{where} must be a number from 0 to 1, found {value!r}")
    return cast(float, value)


def _message(item: object, place: str) -> Message:
    if not isinstance(item, dict):
        raise UserError(f"{place} must be an object with 'role' and 'content', found {type(item).__name__}")
    role, content, reasoning, meta = (item.get(name) for name in ("role", "content", "reasoning", "meta"))
    if role not in ROLES:
        raise UserError(f"{place}.role: unknown role {role!r}{suggest_name(str(role), ROLES)}")
    if content is None and item.get("tool_calls"):  # as OpenAI's API writes a call without a text
        content = ""
    if not isinstance(content, str):
        raise UserError(f"{place}.content must be a string, found {type(content).__name__}")
    if not isinstance(reasoning, str | None):
        raise UserError(f"{place}.reasoning must be a string, found {type(reasoning).__name__}")
    if not isinstance(meta, dict | None):
        raise UserError(f"{place}.meta must be an object, found {type(meta).__name__}")
    weight, truncated = check_weight(item.get("weight"), f"{place}.weight"), item.get("truncated")
    if not isinstance(truncated, bool | None):
        raise UserError(f"{place}.truncated must be true or false, found {truncated!r}")
    calls, answers = read_tool_calls(item.get("tool_calls"), f"{place}.tool_calls"), item.get("tool_call_id")
    if calls and role != "assistant":
        raise UserError(f"{place}.tool_calls: only the assistant calls tools, found role {role!r}")
    if not isinstance(answers, str | None):
        raise UserError(f"{place}.tool_call_id must be a string, found {answers!r}")
    return Message(cast(Role, role), content, weight, reasoning, bool(truncated), meta or {}, calls, answers)


def _tool(item: object, place: str) -> Tool:
    function = item.get("function", item) if isinstance(item, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise UserError(f"{place} must be a function with a 'name', found {item!r:.80}")
    if function is not item:
        return cast(Tool, item)
    function = {key: held for key, held in function.items() if key not in ("type", "input_schema")}
    schema = cast(Tool, item).get("input_schema")  # Anthropic's name for the parameters
    return {"type": "function", "function": function if schema is None else {**function, "parameters": schema}}
