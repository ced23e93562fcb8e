"""Alpaca's records: an instruction, perhaps with an input, and the output."""

from camelid.files.read import Record
from camelid.message import Conversation, Message, record_id
from conversations.formats.chat import Branches, Chat, LostTurn, make_chat
from conversations.formats.fields import KnownFields, text_field
from conversations.formats.history import read_history
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import read_field, read_text
from conversations.tokens.with_input import join_input


def from_alpaca(record: Record, place: str) -> Conversation:
    """An instruction record as one exchange; `meta` keeps instruction and input apart for the template."""
    return _chat(record, place).conversation


def _chat(record: Record, place: str) -> Chat:
    instruction = text_field(record, "instruction", place)
    text = "" if record.get("input") is None else text_field(record, "input", place)
    turns: list[Message | LostTurn] = [
        *read_history(record.get("history"), place),
        read_text("user", join_input(instruction, text)),
        read_field("assistant", record, "output", place),
    ]
    return make_chat(record_id(record, place), turns, {"instruction": instruction, "input": text})


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    return [_chat(record, place)]


ALPACA = RecordFormat(
    name="alpaca",
    called="Alpaca",
    field="instruction",
    looks_like='`{"instruction", "input", "output"}`',
    # `text` of the set on the hub is the same record in Alpaca's template.
    fields=KnownFields(frozenset(("id", "instruction", "input", "output", "history")), frozenset(("text",))),
    is_one=lambda record: "instruction" in record and ("output" in record or "response" not in record),
    read=_read,
    notes="`meta` keeps instruction and input apart; `history` becomes earlier turns",
)
