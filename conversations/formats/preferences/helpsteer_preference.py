"""The preferences of HelpSteer2 and HelpSteer3: two answers, and from -3 to 3 by how much the second is better."""

from camelid.files.read import Record
from camelid.message import record_id
from conversations.formats.chat import Chat
from conversations.formats.fields import KnownFields, list_field, text_field
from conversations.formats.preferences.answers import choose, listed_chat, number_field, text_chat
from conversations.formats.preferences.preference_format import PreferenceFormat, ReadPreference

_SHAPES = (("response_1", "response_2", "preference_strength"), ("response1", "response2", "overall_preference"))


def _marks(record: Record) -> tuple[str, ...]:
    return next((names for names in _SHAPES if record.keys() >= set(names)), ())


def _read(record: Record, place: str) -> list[ReadPreference]:
    *sides, strength = _marks(record) or _SHAPES[0]
    preference = number_field(record, strength, place, -3, 3)
    first, second = (_chat(record, side, place) for side in sides)
    return [choose(first, second, preference, grade=int(abs(preference)))]


def _chat(record: Record, side: str, place: str) -> Chat:
    name, answer = record_id(record, place), text_field(record, side, place)
    if "context" not in record:
        return text_chat(name, text_field(record, "prompt", place), answer)
    turns = [*list_field(record, "context", place), {"role": "assistant", "content": answer}]
    return listed_chat(name, turns, "context", place)


HELPSTEER_PREFERENCE = PreferenceFormat(
    name="helpsteer-preference",
    called="HelpSteer2, HelpSteer3 preferences",
    looks_like='`{"context", "response1", "response2", "overall_preference"}`',
    names=frozenset(name for names in _SHAPES for name in names[:1]),
    marks=_marks,
    fields=KnownFields(frozenset(("id", "prompt", "context", *(name for names in _SHAPES for name in names)))),
    read=_read,
    source="human/helpsteer",
    notes="slightly better, better, much better are grades 1, 2, 3; 0 is a tie",
)
