"""Messages with a role and a content, as OpenAI's API has them and several data sets took them over."""

from typing import Any, cast

from camelid.errors import UserError, suggest_name
from camelid.files.read import Record
from camelid.message import ROLES, Conversation, Role, record_id
from conversations.formats.chat import MEDIA, TOOL, Chat, LostTurn, make_chat

_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def from_messages(record: Record, place: str, name: str) -> Chat:
    """The chat whose messages are the field `name` of a record.

    Raises:
        UserError: a message has no known role, or neither text nor parts.
    """
    items = record[name]
    if not isinstance(items, list) or not items:
        raise UserError(f"{place}: field {name!r} must be a non-empty list of {{role, content}} objects")
    plain = [_plain(item, f"{place}: {name}[{index}]") for index, item in enumerate(items)]
    blank = {"role": "user", "content": ""}
    checked = Conversation.from_json(
        {"messages": [blank if isinstance(item, LostTurn) else item for item in plain]}, place
    )
    turns = [
        item if isinstance(item, LostTurn) else message for item, message in zip(plain, checked.messages, strict=True)
    ]
    other = next((str(record[key]) for key in ("conversation_id", "conversation_hash") if record.get(key)), place)
    meta = {key: record[key] for key in ("model", "language") if isinstance(record.get(key), str)}
    return make_chat(record_id(record, other), turns, meta)


def _plain(item: object, place: str) -> Record | LostTurn:
    """A message with one of our roles and a text, as far as it has them."""
    if not isinstance(item, dict):
        raise UserError(f"{place} must be an object with 'role' and 'content', found {type(item).__name__}")
    role, content = item.get("role"), item.get("content")
    if role in ("tool", "function") or item.get("tool_calls") or item.get("function_call"):
        return LostTurn(TOOL, with_exchange=True)
    if not isinstance(role, str) or role not in _ROLES:
        raise UserError(f"{place}.role: unknown role {role!r}{suggest_name(str(role), ROLES)}")
    if isinstance(content, list):
        content = _joined_parts(content, place)
        if content is None:
            return LostTurn(MEDIA, with_exchange=True, role=_ROLES[role])
    if content is None and isinstance(item.get("refusal"), str):
        content = item["refusal"]
    return {**item, "role": _ROLES[role], "content": content}


def _joined_parts(parts: list[Any], place: str) -> str | None:
    """The text of a list of content parts; None if one is not text."""
    texts = []
    for part in parts:
        if not isinstance(part, dict):
            raise UserError(f"{place}.content must be a string or a list of parts, found {part!r} in it")
        if part.get("type") not in ("text", "input_text", "output_text") or not isinstance(part.get("text"), str):
            return None
        texts.append(cast(str, part["text"]))
    return "".join(texts)
