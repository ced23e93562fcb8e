"""The `conversations.json` of a Claude account export."""

from camelid.files.read import Record
from camelid.message import Conversation, record_id
from conversations.formats.chat import Branches, Chat
from conversations.formats.fields import KnownFields, list_field
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import TurnList

_TURNS = TurnList("chat_messages", speaker="sender", ids=("uuid",))
_FILES = ("attachments", "files", "files_v2")


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    messages = list_field(record, "chat_messages", place)
    if not messages:
        return [Chat(Conversation(record_id(record, str(record.get("uuid") or place)), ()))]
    return [_TURNS.read({**record, "chat_messages": [_turn(message) for message in messages]}, place)]


def _turn(message: object) -> object:
    """A message without `text`, which repeats the parts of its content in plain, and with one field for its files."""
    if not isinstance(message, dict):
        return message
    kept = {name: value for name, value in message.items() if name not in ("text", *_FILES)}
    files = next((message[name] for name in _FILES if message.get(name)), None)
    return {**kept, "content": message.get("content") or message.get("text"), "attachments": files}


CLAUDE = RecordFormat(
    name="claude",
    called="Claude export",
    field="chat_messages",
    looks_like="`conversations.json` of an account export",
    fields=KnownFields(frozenset(("id", "chat_messages")), frozenset(("account",))),
    is_one=lambda record: isinstance(record.get("chat_messages"), list),
    read=_read,
    notes="thoughts are kept apart",
    turns="chat_messages",
)
