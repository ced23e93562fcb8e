"""Readers: every known file format into `Conversation`."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from camelid.errors import UserError, near_miss
from camelid.jsonl import Record, read_json, read_jsonl
from conversations.message import Conversation, Message, Role
from conversations.template import join_input

Format = Literal["conversations", "alpaca", "sharegpt", "openai"]

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


def read_conversations(path: str | Path) -> Iterator[Conversation]:
    """Read a file strictly: the first bad record is an error that names its place.

    Raises:
        UserError: the file is missing or broken, or a record does not have its format's fields.
    """
    for place, record in read_records(path):
        yield READERS[detect(record, place)](record, place)


def read_records(path: str | Path) -> Iterator[tuple[str, Record]]:
    """Yield `(place, object)` from JSON Lines or from one JSON array."""
    path = Path(path)
    if not _is_array(path):
        yield from read_jsonl(path)
        return
    for index, record in enumerate(read_json(path)):
        place = f"{path}[{index}]"
        if not isinstance(record, dict):
            raise UserError(f"{place}: expected a JSON object, found {type(record).__name__}")
        yield place, record


def detect(record: Record, place: str) -> Format:
    """Name the format of a record by its fields."""
    if isinstance(record.get("conversations"), list):
        return "sharegpt"
    if "instruction" in record:
        return "alpaca"
    if "messages" in record:
        return "conversations" if "meta" in record else "openai"
    raise UserError(
        f"{place}: unknown record with fields {sorted(record)}; expected 'messages' (conversation), 'conversations' "
        "(ShareGPT) or 'instruction' (Alpaca)"
    )


def from_alpaca(record: Record, place: str) -> Conversation:
    """An instruction record as one exchange; `meta` keeps instruction and input apart for the template."""
    instruction, text, output = (_text(record, name, place) for name in ("instruction", "input", "output"))
    messages = (Message("user", join_input(instruction, text)), Message("assistant", output))
    meta: dict[str, Any] = {"instruction": instruction, "input": text}
    return Conversation(str(record.get("id", place)), messages, meta)


def from_sharegpt(record: Record, place: str) -> Conversation:
    """A ShareGPT record; values are taken as they are (HTML included)."""
    turns = record["conversations"]
    messages = []
    for index, turn in enumerate(turns):
        where = f"{place}: conversations[{index}]"
        if not isinstance(turn, dict):
            raise UserError(f"{where} must be an object with 'from' and 'value', found {type(turn).__name__}")
        speaker = turn.get("from")
        if speaker not in SHAREGPT_ROLES:
            raise UserError(f"{where}.from: unknown role {speaker!r}{near_miss(str(speaker), SHAREGPT_ROLES)}")
        messages.append(Message(SHAREGPT_ROLES[speaker], _text(turn, "value", where)))
    return Conversation(str(record.get("id", place)), tuple(messages))


READERS: dict[Format, Callable[[Record, str], Conversation]] = {
    "conversations": Conversation.from_json,
    "openai": Conversation.from_json,
    "alpaca": from_alpaca,
    "sharegpt": from_sharegpt,
}


def _text(record: Record, name: str, place: str) -> str:
    value = record.get(name, "" if name == "input" else None)
    if not isinstance(value, str):
        raise UserError(f"{place}: field {name!r} must be a string, found {value!r}")
    return value


def _is_array(path: Path) -> bool:
    """Whether the first character that is not white space opens a JSON array."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        while block := file.read(4096):
            if text := block.removeprefix(b"\xef\xbb\xbf").lstrip():
                return text.startswith(b"[")
    return False
