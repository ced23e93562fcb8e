"""ShareGPT: what users shared of their chats, each turn with its speaker."""

from camelid.files.read import Record
from camelid.message import Conversation, record_id
from conversations.formats.chat import Branches, Chat
from conversations.formats.fields import KnownFields
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import TurnList

_TURNS = TurnList("conversations", speaker="from", text="value", page=True)


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    """The chat; values are taken as they are (HTML included)."""
    if record["conversations"] == []:
        return [Chat(Conversation(record_id(record, place), ()))]
    return [_TURNS.read(record, place)]


SHAREGPT = RecordFormat(
    name="sharegpt",
    called="ShareGPT",
    field="conversations",
    looks_like='`{"conversations": [{"from": "human", "value": ...}]}`',
    fields=KnownFields(frozenset(("id", "conversations"))),
    is_one=lambda record: isinstance(record.get("conversations"), list),
    read=_read,
    notes="values in HTML or Markdown; turns may have `role` and `content` instead",
    turns="conversations",
)
