"""Alpaca's records: an instruction, perhaps with an input, and the output."""

from camelid.files.read import Record
from camelid.message import Conversation, Message, record_id
from conversations.formats.chat import Branches, Chat
from conversations.formats.fields import text_field
from conversations.formats.record_format import RecordFormat
from conversations.tokens.with_input import join_input


def from_alpaca(record: Record, place: str) -> Conversation:
    """An instruction record as one exchange; `meta` keeps instruction and input apart for the template."""
    instruction = text_field(record, "instruction", place)
    text = text_field(record, "input", place) if "input" in record else ""
    output = text_field(record, "output", place)
    messages = (Message("user", join_input(instruction, text)), Message("assistant", output))
    return Conversation(record_id(record, place), messages, {"instruction": instruction, "input": text})


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    return [Chat(from_alpaca(record, place))]


ALPACA = RecordFormat(
    name="alpaca",
    called="Alpaca",
    field="instruction",
    looks_like='`{"instruction", "input", "output"}`',
    is_one=lambda record: "instruction" in record,
    read=_read,
    notes="`meta` keeps instruction and input apart",
)
