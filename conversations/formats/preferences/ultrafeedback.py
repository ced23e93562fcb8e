"""UltraFeedback: an instruction, answers of several models, and GPT-4's ratings of each (Cui et al. 2023)."""

from collections.abc import Iterator

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import record_id
from conversations.formats.fields import KnownFields, list_field, text_field
from conversations.formats.preferences.answers import RatedAnswer, number_field, rated_pairs, writer_field
from conversations.formats.preferences.preference_format import PreferenceFormat, ReadPreference, all_fields

ASPECTS = ("instruction_following", "honesty", "truthfulness", "helpfulness")


def _read(record: Record, place: str) -> Iterator[ReadPreference]:
    answers = [
        _rated(one, f"{place}: completions[{at}]") for at, one in enumerate(list_field(record, "completions", place))
    ]
    return rated_pairs(record_id(record, place), text_field(record, "instruction", place), answers)


def _rated(completion: object, where: str) -> RatedAnswer:
    """An answer with the mean of its ratings, as far as they are there (`N/A` where the judge gave none).

    `overall_score` is not used: some of the published ones read 1 as 10.
    """
    if not isinstance(completion, dict) or not isinstance(completion.get("annotations"), dict):
        raise UserError(f"{where} must be an object with 'response' and 'annotations'")
    ratings = []
    for aspect in ASPECTS:
        found = completion["annotations"].get(aspect)
        if isinstance(found, dict) and found.get("Rating") not in (None, "N/A"):
            ratings.append(number_field(found, "Rating", f"{where}.annotations.{aspect}", 1, 5))
    if not ratings:
        raise UserError(f"{where}.annotations: no rating of {', '.join(ASPECTS)}")
    return RatedAnswer(
        text_field(completion, "response", where), sum(ratings) / len(ratings), writer_field(completion, "model", where)
    )


ULTRAFEEDBACK = PreferenceFormat(
    name="ultrafeedback",
    called="UltraFeedback",
    looks_like='`{"instruction", "completions": [{"response", "annotations"}]}`',
    names=frozenset(("completions",)),
    marks=all_fields("instruction", "completions"),
    fields=KnownFields(frozenset(("id", "instruction", "completions")), frozenset(("models",))),
    read=_read,
    source="ai/gpt-4",
    notes="every pair of answers by the mean of their four ratings; the binarized set is `chosen-rejected`",
)
