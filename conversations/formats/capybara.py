"""Capybara's records: a chat as a list of pairs of question and answer."""

from collections.abc import Iterator

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import Message, record_id
from conversations.formats.chat import Branches, Chat, LostTurn, make_chat
from conversations.formats.fields import KnownFields, list_field, text_field
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import read_text


def _is_one(record: Record) -> bool:
    pairs = record.get("conversation")
    return isinstance(pairs, list) and bool(pairs) and isinstance(pairs[0], dict) and "input" in pairs[0]


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    return [make_chat(record_id(record, place), _turns(record, place), {})]


def _turns(record: Record, place: str) -> Iterator[Message | LostTurn]:
    for index, pair in enumerate(list_field(record, "conversation", place)):
        where = f"{place}: conversation[{index}]"
        if not isinstance(pair, dict):
            raise UserError(f"{where} must be an object with 'input' and 'output', found {type(pair).__name__}")
        yield read_text("user", text_field(pair, "input", where))
        yield read_text("assistant", text_field(pair, "output", where))


CAPYBARA = RecordFormat(
    name="capybara",
    called="Capybara",
    field="conversation",
    looks_like='`{"conversation": [{"input", "output"}]}`',
    fields=KnownFields(frozenset(("id", "conversation"))),
    is_one=_is_one,
    read=_read,
    notes="Capybara and other lists of pairs",
    turns="conversation",
)
