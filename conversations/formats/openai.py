"""OpenAI's messages, as its API and its fine-tuning files have them."""

from camelid.files.read import Record
from conversations.formats.chat import Branches, Chat
from conversations.formats.fields import KnownFields
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import TurnList

_TURNS = TurnList("messages", ids=("conversation_id", "conversation_hash"))


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    return [_TURNS.read(record, place)]


OPENAI = RecordFormat(
    name="openai",
    called="OpenAI",
    field="messages",
    looks_like='`{"messages": [{"role", "content"}]}`',
    fields=KnownFields(frozenset(("id", "messages"))),
    is_one=lambda record: "messages" in record,
    read=_read,
    notes="content may be a list of parts; `weight` is kept",
    turns="messages",
)
