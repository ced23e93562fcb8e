"""Dolly's and GPTeacher's records: an instruction, perhaps with a context, and the response."""

from camelid.files.read import Record
from camelid.message import record_id
from conversations.formats.chat import Branches, Chat, make_chat
from conversations.formats.fields import KnownFields, text_field
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import read_field, read_text
from conversations.tokens.with_input import join_input

_CONTEXT = ("context", "input")  # Dolly's; GPTeacher's


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    instruction = text_field(record, "instruction", place)
    given = [text_field(record, name, place) for name in _CONTEXT if record.get(name) is not None]
    context = "\n\n".join(text for text in given if text)
    turns = (
        read_text("user", join_input(instruction, context)),
        read_field("assistant", record, "response", place),
    )
    return [make_chat(record_id(record, place), turns, {"instruction": instruction, "input": context})]


DOLLY = RecordFormat(
    name="dolly",
    called="Dolly, GPTeacher",
    field="instruction",
    looks_like='`{"instruction", "context", "response"}`',
    fields=KnownFields(frozenset(("id", "instruction", "response", *_CONTEXT))),
    is_one=lambda record: "instruction" in record and "response" in record,
    read=_read,
    notes="Dolly, and GPTeacher with `input`; `meta` keeps instruction and context apart, as Alpaca's",
)
