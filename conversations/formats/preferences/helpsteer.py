"""HelpSteer and HelpSteer2: rows of one answer each with people's ratings, those to one prompt in a row."""

from collections.abc import Iterator

from camelid.errors import UserError
from camelid.files.read import Record
from conversations.formats.fields import KnownFields, text_field
from conversations.formats.preferences.answers import RatedAnswer, number_field, rated_pairs
from conversations.formats.preferences.preference_format import PreferenceFormat, ReadPreference, Unused
from conversations.formats.record_format import PlacedRecords

_ROW = frozenset(("prompt", "response", "helpfulness"))
_ANSWERS = "HelpSteer's answers"  # to one prompt, as `_gather` puts them together
ALONE = "only answer to its prompt"
_LIMITS = (0, 4)


def _gather(records: PlacedRecords) -> PlacedRecords:
    """Rows that follow each other with the same prompt as one record."""
    place, rows = "", list[Record]()
    for where, record in records:
        row = isinstance(record, dict) and record.keys() >= _ROW
        if rows and not (row and isinstance(record, dict) and record["prompt"] == rows[0]["prompt"]):
            yield place, {"prompt": rows[0]["prompt"], _ANSWERS: rows}
            rows = []
        if row and isinstance(record, dict):
            place = where if not rows else place
            rows.append(record)
        else:
            yield where, record
    if rows:
        yield place, {"prompt": rows[0]["prompt"], _ANSWERS: rows}


def _read(record: Record, place: str) -> Iterator[ReadPreference]:
    rows = record[_ANSWERS]
    answers = [
        RatedAnswer(text_field(row, "response", place), number_field(row, "helpfulness", place, *_LIMITS))
        for row in rows
    ]
    if len(answers) == 1:
        return iter([Unused(ALONE)])
    if not all(isinstance(row["prompt"], str) for row in rows):
        raise UserError(f"{place}: field 'prompt' must be a string, found {rows[0]['prompt']!r}")
    return rated_pairs(place, rows[0]["prompt"], answers)


def _marks(record: Record) -> tuple[str, ...]:
    return ("response", "helpfulness") if _ANSWERS in record or record.keys() >= _ROW else ()


HELPSTEER = PreferenceFormat(
    name="helpsteer",
    called="HelpSteer, HelpSteer2",
    looks_like='`{"prompt", "response", "helpfulness"}`',
    names=frozenset(("helpfulness", _ANSWERS)),
    marks=_marks,
    fields=KnownFields(frozenset(("prompt", _ANSWERS))),
    read=_read,
    source="human/helpsteer",
    notes="rows that follow each other with one prompt are compared by `helpfulness`",
    gather=_gather,
)
