"""Capybara's records: a chat as a list of pairs of question and answer."""

from collections import Counter
from dataclasses import replace

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import Message, record_id
from conversations.formats.chat import Branches, Chat, LostTurn, make_chat, media_reason
from conversations.formats.fields import KnownFields, list_field
from conversations.formats.media import MEDIA_FIELDS, media_field
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import read_field
from conversations.formats.weights import WEIGHTS, read_weight

_OF_PAIR = KnownFields(frozenset(("input", "output", *WEIGHTS, *MEDIA_FIELDS)))


def _is_one(record: Record) -> bool:
    pairs = record.get("conversation")
    return isinstance(pairs, list) and bool(pairs) and isinstance(pairs[0], dict) and "input" in pairs[0]


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    turns: list[Message | LostTurn] = []
    set_aside = Counter[str]()
    for index, pair in enumerate(list_field(record, "conversation", place)):
        where = f"{place}: conversation[{index}]"
        if not isinstance(pair, dict):
            raise UserError(f"{where} must be an object with 'input' and 'output', found {type(pair).__name__}")
        turns += [read_field("user", pair, "input", where), _answer(pair, where)]
        set_aside.update(f"conversation[].{name}" for name in _OF_PAIR.others(pair))
    return [replace(make_chat(record_id(record, place), turns, {}), set_aside=set_aside)]


def _answer(pair: Record, where: str) -> Message | LostTurn:
    """The answer with what the pair has besides."""
    if media := media_field(pair):
        return LostTurn(media_reason(media), with_exchange=True)
    answer = read_field("assistant", pair, "output", where)
    if isinstance(answer, LostTurn):
        return answer
    return replace(answer, weight=read_weight(pair, f"{where}."), meta=_OF_PAIR.others(pair))


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
