"""The records that Camelid itself writes: messages, with whatever else is worth keeping in `meta`."""

from camelid.files.read import Record
from conversations.formats.chat import Branches, Chat
from conversations.formats.fields import KnownFields
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import TurnList

_TURNS = TurnList("messages", verbatim=True)


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    return [_TURNS.read(record, place)]


CONVERSATIONS = RecordFormat(
    name="conversations",
    called="conversation",
    field="messages",
    looks_like="what this command writes",
    fields=KnownFields(frozenset(("id", "messages"))),
    is_one=lambda record: "messages" in record and "meta" in record,
    read=_read,
    notes="reads back unchanged",
    turns="messages",
)
