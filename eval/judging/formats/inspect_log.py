"""Inspect's logs, `.json` and `.eval` (inspect.aisi.org.uk): each sample's answer and what each scorer said of it."""

from camelid.files.read import Record
from conversations.questions.records import INSPECT, inspect_id, inspect_text
from eval.judging.formats.format import JudgmentFormat, Source
from eval.judging.judgment import Judgment
from eval.judging.modes.correctness import CORRECTNESS

# inspect_ai/scorer/_metric.py, `value_to_float`
_VALUES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}


def _read(record: Record, source: Source) -> list[Judgment]:
    answer = inspect_text(record)
    error = record.get("error")
    return [
        Judgment(
            mode=CORRECTNESS.name,
            question=inspect_id(record),
            turn=1,
            models=(str(record[INSPECT]["model"]),),
            judge=scorer,
            scores=_share(score["value"]),
            text=str(score.get("explanation") or score["value"]),
            failure=f"the log says: {error.get('message', error)}" if isinstance(error, dict) else None,
            answers=() if answer is None else (answer,),
        )
        for scorer, score in (record.get("scores") or {}).items()
    ]


def _share(value: object) -> tuple[float] | None:
    """Inspect's value as a share of correct; None if it is none (a number beyond 0 to 1, several values)."""
    if isinstance(value, str) and value.upper() in _VALUES:
        return (_VALUES[value.upper()],)
    if isinstance(value, bool | int | float) and 0 <= value <= 1:
        return (float(value),)
    return None


INSPECT_LOG = JudgmentFormat("Inspect log", lambda record: INSPECT in record, _read)
