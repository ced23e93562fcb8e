"""The rows of WildChat and LMSYS-Chat-1M: OpenAI's messages in a field of another name."""

from camelid.files.read import Record
from conversations.formats.chat import Branches, Chat
from conversations.formats.messages import from_messages
from conversations.formats.record_format import RecordFormat


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    return [from_messages(record, place, "conversation")]


WILDCHAT = RecordFormat(
    name="wildchat",
    called="WildChat, LMSYS",
    field="conversation",
    looks_like='`{"conversation": [{"role", "content"}]}`',
    is_one=lambda record: isinstance(record.get("conversation"), list),
    read=_read,
    notes="WildChat and LMSYS-Chat-1M",
    turns="conversation",
)
