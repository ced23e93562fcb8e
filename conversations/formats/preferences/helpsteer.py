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
    """Rows that follow each other with the same prompt as one record; a broken row yields its error alone."""
    place, rows = "", list[Record]()
    for where, record in records:
        row = record if isinstance(record, dict) and record.keys() >= _ROW else None
        if rows and (row is None or row["prompt"] != rows[0]["prompt"]):
            yield place, {"prompt": rows[0]["prompt"], _ANSWERS: rows}
            rows = []
        fault = _fault(row, where) if row else None
        if row is None or fault:
            yield where, fault or record
        else:
            place = place if rows else where
            rows.append(row)
    if rows:
        yield place, {"prompt": rows[0]["prompt"], _ANSWERS: rows}


def _fault(row: Record, where: str) -> UserError | None:
    try:
        text_field(row, "prompt", where)
        _rated(row, where)
    except UserError as error:
        return error
    return None


def _rated(row: Record, where: str) -> RatedAnswer:
    return RatedAnswer(text_field(row, "response", where), number_field(row, "helpfulness", where, *_LIMITS))


def _read(record: Record, place: str) -> Iterator[ReadPreference]:
    answers = [_rated(row, place) for row in record[_ANSWERS]]
    return iter([Unused(ALONE)]) if len(answers) == 1 else rated_pairs(place, record["prompt"], answers)


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
