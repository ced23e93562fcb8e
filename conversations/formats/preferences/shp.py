"""Stanford Human Preferences: two answers to a post on Reddit, and what readers voted (Ethayarajh et al. 2022)."""

from camelid.files.read import Record
from conversations.formats.fields import KnownFields, text_field
from conversations.formats.preferences.answers import choice_field, choose, number_field, text_chat
from conversations.formats.preferences.preference_format import PreferenceFormat, ReadPreference, all_fields

_NAMES = ("history", "human_ref_A", "human_ref_B", "labels")
# Ours: the data card recommends training on ratios of 2 and more. The grade is how many of these a ratio reaches.
_RATIOS = (1.5, 2.0, 4.0)


def _read(record: Record, place: str) -> list[ReadPreference]:
    name, prompt = str(record.get("id") or record.get("post_id") or place), text_field(record, "history", place)
    first, second = (text_chat(name, prompt, text_field(record, field, place)) for field in _NAMES[1:3])
    grade = None
    if record.get("score_ratio") is not None:
        ratio = number_field(record, "score_ratio", place, 0.0, float("inf"))
        grade = sum(ratio >= least for least in _RATIOS)
    return [choose(first, second, -1 if choice_field(record, "labels", place) else 1, grade=grade)]


SHP = PreferenceFormat(
    name="shp",
    called="Stanford Human Preferences",
    looks_like='`{"history", "human_ref_A", "human_ref_B", "labels"}`',
    names=frozenset(("human_ref_A",)),
    marks=all_fields(*_NAMES[1:3]),
    fields=KnownFields(frozenset(("id", *_NAMES))),
    read=_read,
    source="human/shp",
    notes="`labels` 1 is A; the grade follows `score_ratio`: from 1.5, 2 and 4 up",
)
