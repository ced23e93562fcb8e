"""The instruction data sets that were gathered for OpenAssistant: INSTRUCTION, RESPONSE, SOURCE, METADATA."""

from camelid.files.read import Record
from camelid.message import record_id
from conversations.formats.chat import Branches, Chat, make_chat
from conversations.formats.fields import KnownFields
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import read_field


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    turns = (
        read_field("user", record, "INSTRUCTION", place),
        read_field("assistant", record, "RESPONSE", place),
    )
    return [make_chat(record_id(record, place), turns, {})]


OA_INSTRUCTIONS = RecordFormat(
    name="oa-instructions",
    called="OpenAssistant's instructions",
    field="INSTRUCTION",
    looks_like='`{"INSTRUCTION", "RESPONSE"}`',
    fields=KnownFields(frozenset(("id", "INSTRUCTION", "RESPONSE"))),
    is_one=lambda record: "INSTRUCTION" in record and "RESPONSE" in record,
    read=_read,
    notes="sets gathered for OpenAssistant",
)
