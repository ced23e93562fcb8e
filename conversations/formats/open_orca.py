"""OpenOrca's records: a system prompt, a question and the response."""

from camelid.files.read import Record
from camelid.message import record_id
from conversations.formats.chat import Branches, Chat, make_chat
from conversations.formats.fields import KnownFields
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import read_field


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    turns = (
        read_field("user", record, "question", place),
        read_field("assistant", record, "response", place),
    )
    return [make_chat(record_id(record, place), turns, {})]


OPEN_ORCA = RecordFormat(
    name="open-orca",
    called="OpenOrca",
    field="question",
    looks_like='`{"system_prompt", "question", "response"}`',
    fields=KnownFields(frozenset(("id", "question", "response"))),
    is_one=lambda record: "question" in record and "response" in record,
    read=_read,
    notes="OpenOrca",
)
