"""The records that Camelid itself writes: messages, with whatever else is worth keeping in `meta`."""

from camelid.files.read import Record
from camelid.message import Conversation
from conversations.formats.chat import Branches, Chat
from conversations.formats.record_format import RecordFormat


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    return [Chat(Conversation.from_json(record, place))]


CONVERSATIONS = RecordFormat(
    name="conversations",
    called="conversation",
    field="messages",
    looks_like="what this command writes",
    is_one=lambda record: "messages" in record and "meta" in record,
    read=_read,
    notes="reads back unchanged",
    turns="messages",
)
