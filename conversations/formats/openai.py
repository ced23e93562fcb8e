"""OpenAI's messages, as its API and its fine-tuning files have them."""

from camelid.files.read import Record
from conversations.formats.chat import Branches, Chat
from conversations.formats.messages import from_messages
from conversations.formats.record_format import RecordFormat


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    return [from_messages(record, place, "messages")]


OPENAI = RecordFormat(
    name="openai",
    called="OpenAI",
    field="messages",
    looks_like='`{"messages": [{"role", "content"}]}`',
    is_one=lambda record: "messages" in record,
    read=_read,
    notes="content may be a list of parts; `weight` is kept",
    turns="messages",
)
