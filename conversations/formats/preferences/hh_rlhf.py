"""Anthropic's hh-rlhf: two transcripts that are the same up to the last answer."""

from camelid.files.read import Record
from camelid.message import record_id
from conversations.formats.chat import make_chat
from conversations.formats.fields import KnownFields, text_field
from conversations.formats.preferences.preference_format import Compared, PreferenceFormat
from conversations.formats.preferences.transcript import is_transcript, read_transcript

_SIDES = ("chosen", "rejected")


def _marks(record: Record) -> tuple[str, ...]:
    return _SIDES if all(is_transcript(record.get(side)) for side in _SIDES) else ()


def _read(record: Record, place: str) -> list[Compared]:
    name = record_id(record, place)
    chosen, rejected = (make_chat(name, read_transcript(text_field(record, side, place)), {}) for side in _SIDES)
    return [Compared(chosen, rejected)]


HH_RLHF = PreferenceFormat(
    name="hh-rlhf",
    called="Anthropic hh-rlhf",
    looks_like='`{"chosen": "\\n\\nHuman: ...\\n\\nAssistant: ...", "rejected"}`',
    names=frozenset(_SIDES),
    marks=_marks,
    fields=KnownFields(frozenset(("id", *_SIDES)), frozenset(("prompt",))),
    read=_read,
    source="human/hh-rlhf",
    notes="the prompt is what both transcripts begin with",
)
