"""Readers: a record of any known format into conversations."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast

from camelid.errors import UserError, suggest_name
from camelid.files.read import Record
from camelid.files.records import read_records as read_records
from camelid.files.records import scan_records
from camelid.message import ROLES, Conversation, Message, Role, record_id
from conversations.formats.chat import MEDIA, TOOL, Branches, Chat, LostTurn, make_chat
from conversations.formats.chatgpt import from_chatgpt
from conversations.formats.oasst import from_oasst, grow_trees
from conversations.tokens.with_input import join_input

RecordFormat = Literal["conversations", "sharegpt", "openai", "chatgpt", "oasst", "wildchat", "alpaca"]

# Names seen in ShareGPT exports, github.com/lm-sys/FastChat, fastchat/data/clean_sharegpt.py.
SHAREGPT_ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "assistant": "assistant",
    "system": "system",
}
_OPENAI_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


def read_conversations(path: str | Path) -> Iterator[Conversation]:
    """Read a file strictly: the first bad record is an error that names its place.

    Raises:
        UserError: the file is missing or broken, a record does not have its format's fields, or a chat has
            turns that are not text.
    """
    for place, record in scan_chats(path):
        if isinstance(record, UserError):
            raise record
        for chat in read_chats(record, place):
            if chat.lost:
                reasons = ", ".join(chat.lost)
                raise UserError(f"{place}: not text alone ({reasons}); run `camelid conversations convert` first")
            yield chat.conversation


def scan_chats(path: str | Path) -> Iterator[tuple[str, Record | UserError]]:
    """Yield `(place, record)`, one for each chat or tree of chats; what cannot be read yields its error."""
    return grow_trees(scan_records(path))


def read_chats(
    record: Record, place: str, known: RecordFormat | None = None, branches: Branches = "all"
) -> Iterator[Chat]:
    """Turn one record into its chats: one, or as many as its tree has branches.

    Args:
        record: the JSON object.
        place: `file:line`, for errors.
        known: the format; None to detect it by the record's fields.
        branches: of a tree, every branch, or the one shown last (ChatGPT) or ranked best (OASST).

    Raises:
        UserError: the record does not have its format's fields.
    """
    kind = known or detect_format(record, place)
    try:
        if kind == "conversations":
            yield Chat(Conversation.from_json(record, place))
        elif kind == "alpaca":
            yield Chat(from_alpaca(record, place))
        elif kind == "sharegpt":
            yield Chat(from_sharegpt(record, place))
        elif kind == "chatgpt":
            yield from from_chatgpt(record, place, branches)
        elif kind == "oasst":
            yield from from_oasst(record, place, branches)
        else:
            yield _from_messages(record, place, "messages" if kind == "openai" else "conversation")
    except KeyError as error:
        raise UserError(f"{place}: no field {error} in this {kind} record; found {sorted(record)}") from None


def detect_format(record: Record, place: str) -> RecordFormat:
    """Name the format of a record by its fields."""
    if isinstance(record.get("conversations"), list):
        return "sharegpt"
    if isinstance(record.get("mapping"), dict):
        return "chatgpt"
    if isinstance(record.get("prompt"), dict):
        return "oasst"
    if isinstance(record.get("conversation"), list):
        return "wildchat"
    if "instruction" in record:
        return "alpaca"
    if "messages" in record:
        return "conversations" if "meta" in record else "openai"
    raise UserError(
        f"{place}: unknown record with fields {sorted(record)}; expected 'messages' (conversation, OpenAI), "
        "'conversations' (ShareGPT), 'mapping' (ChatGPT export), 'prompt' (OASST tree), 'conversation' (WildChat, "
        "LMSYS) or 'instruction' (Alpaca)"
    )


def from_alpaca(record: Record, place: str) -> Conversation:
    """An instruction record as one exchange; `meta` keeps instruction and input apart for the template."""
    instruction, text, output = (_text(record, name, place) for name in ("instruction", "input", "output"))
    messages = (Message("user", join_input(instruction, text)), Message("assistant", output))
    meta: dict[str, Any] = {"instruction": instruction, "input": text}
    return Conversation(record_id(record, place), messages, meta)


def from_sharegpt(record: Record, place: str) -> Conversation:
    """A ShareGPT record; values are taken as they are (HTML included)."""
    messages = []
    for index, turn in enumerate(record["conversations"]):
        where = f"{place}: conversations[{index}]"
        if not isinstance(turn, dict):
            raise UserError(f"{where} must be an object with 'from' and 'value', found {type(turn).__name__}")
        speaker = turn.get("from")
        if not isinstance(speaker, str) or speaker not in SHAREGPT_ROLES:
            raise UserError(f"{where}.from: unknown role {speaker!r}{suggest_name(str(speaker), SHAREGPT_ROLES)}")
        messages.append(Message(SHAREGPT_ROLES[speaker], _text(turn, "value", where)))
    return Conversation(record_id(record, place), tuple(messages))


def _from_messages(record: Record, place: str, name: str) -> Chat:
    """OpenAI messages, and the rows of WildChat and LMSYS-Chat-1M."""
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
    if not isinstance(role, str) or role not in _OPENAI_ROLES:
        raise UserError(f"{place}.role: unknown role {role!r}{suggest_name(str(role), ROLES)}")
    if isinstance(content, list):
        content = _joined_parts(content, place)
        if content is None:
            return LostTurn(MEDIA, with_exchange=True, role=_OPENAI_ROLES[role])
    if content is None and isinstance(item.get("refusal"), str):
        content = item["refusal"]
    return {**item, "role": _OPENAI_ROLES[role], "content": content}


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


def _text(record: Record, name: str, place: str) -> str:
    value = record.get(name, "" if name == "input" else None)
    if not isinstance(value, str):
        raise UserError(f"{place}: field {name!r} must be a string, found {value!r}")
    return value
