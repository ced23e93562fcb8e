"""Message and Conversation: the one shape all chat data takes after a reader made it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from camelid.errors import UserError, suggest_name

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)


_NO_META: Mapping[str, Any] = {}  # one for all messages: a dictionary for each costs a tenth of the time of reading


@dataclass(frozen=True, slots=True)
class Message:
    """One turn.

    Attributes:
        role: who speaks.
        content: the text, exactly as the model shall see it.
        weight: share of the loss this turn carries, 0..1; None means the default (1 for the assistant).
            Only assistant turns are trained, whatever their weight.
        reasoning: what the assistant thought before it spoke; kept, but neither shown to the model nor trained.
        truncated: whether the text was cut off, so that its end of turn must not be trained.
        meta: anything else worth keeping of this turn (a speaker's `name`, a time, ...).
    """

    role: Role
    content: str
    weight: float | None = None
    reasoning: str | None = None
    truncated: bool = False
    meta: Mapping[str, Any] = field(default_factory=lambda: _NO_META, hash=False)

    def to_json(self) -> dict[str, Any]:
        """Role and content, and whatever else there is."""
        record: dict[str, Any] = {"role": self.role, "content": self.content}
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
    """

    id: str
    messages: tuple[Message, ...]
    meta: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "messages": [message.to_json() for message in self.messages], "meta": self.meta}

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
        return Conversation(id=record_id(record, place), messages=turns, meta=read_meta(record, place))


def read_messages(record: dict[str, Any], name: str, place: str) -> tuple[Message, ...]:
    """The messages that a field of a record lists, as `Message.to_json` writes them.

    Raises:
        UserError: it is no list of them, or lists none.
    """
    messages = record.get(name)
    if not isinstance(messages, list) or not messages:
        raise UserError(f"{place}: field {name!r} must be a non-empty list of {{role, content}} objects")
    return tuple(_message(item, f"{place}: {name}[{index}]") for index, item in enumerate(messages))


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
    if not isinstance(content, str):
        raise UserError(f"{place}.content must be a string, found {type(content).__name__}")
    if not isinstance(reasoning, str | None):
        raise UserError(f"{place}.reasoning must be a string, found {type(reasoning).__name__}")
    if not isinstance(meta, dict | None):
        raise UserError(f"{place}.meta must be an object, found {type(meta).__name__}")
    weight, truncated = check_weight(item.get("weight"), f"{place}.weight"), item.get("truncated")
    if not isinstance(truncated, bool | None):
        raise UserError(f"{place}.truncated must be true or false, found {truncated!r}")
    return Message(cast(Role, role), content, weight, reasoning, bool(truncated), meta or {})
