"""The rows of WildChat and LMSYS-Chat-1M: OpenAI's messages in a field of another name."""

from camelid.files.read import Record
from conversations.formats.chat import Branches, Chat
from conversations.formats.fields import KnownFields
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import TurnList

_TURNS = TurnList("conversation", ids=("conversation_id", "conversation_hash"))


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    return [_TURNS.read(record, place)]


WILDCHAT = RecordFormat(
    name="wildchat",
    called="WildChat, LMSYS",
    field="conversation",
    looks_like='`{"conversation": [{"role", "content"}]}`',
    fields=KnownFields(frozenset(("id", "conversation"))),
    is_one=lambda record: isinstance(record.get("conversation"), list),
    read=_read,
    notes="WildChat and LMSYS-Chat-1M",
    turns="conversation",
)
