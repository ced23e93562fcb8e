"""Message and Conversation: the one shape all chat data takes after a reader made it."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from camelid.errors import UserError, suggest_name

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn.

    Attributes:
        role: who speaks.
        content: the text, exactly as the model shall see it.
        weight: share of the loss this turn carries, 0..1; None means the default (1 for the assistant).
            Only assistant turns are trained, whatever their weight.
    """

    role: Role
    content: str
    weight: float | None = None

    def to_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {"role": self.role, "content": self.content}
        return record if self.weight is None else {**record, "weight": self.weight}


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
        messages = record.get("messages")
        if not isinstance(messages, list) or not messages:
            raise UserError(f"{place}: field 'messages' must be a non-empty list of {{role, content}} objects")
        meta = record.get("meta", {})
        if not isinstance(meta, dict):
            raise UserError(f"{place}: field 'meta' must be an object, found {type(meta).__name__}")
        turns = tuple(_message(item, f"{place}: messages[{index}]") for index, item in enumerate(messages))
        return Conversation(id=record_id(record, place), messages=turns, meta=meta)


def record_id(record: dict[str, Any], place: str) -> str:
    """The record's own id, or its place where it has none."""
    name = record.get("id")
    return place if name is None or name == "" else str(name)


def _message(item: object, place: str) -> Message:
    if not isinstance(item, dict):
        raise UserError(f"{place} must be an object with 'role' and 'content', found {type(item).__name__}")
    role, content, weight = item.get("role"), item.get("content"), item.get("weight")
    if role not in ROLES:
        raise UserError(f"{place}.role: unknown role {role!r}{suggest_name(str(role), ROLES)}")
    if not isinstance(content, str):
        raise UserError(f"{place}.content must be a string, found {type(content).__name__}")
    if weight is not None:
        number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight) or not 0 <= weight <= 1:
            raise UserError(f"{place}.weight must be a number from 0 to 1, found {weight!r}")
    return Message(role=cast(Role, role), content=content, weight=weight)
