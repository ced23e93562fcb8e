"""Inspect's logs, `.json` and `.eval` (inspect.aisi.org.uk): each sample's answer and what each scorer said of it."""

from camelid.files.read import Record
from eval.ask.records import INSPECT, inspect_id, inspect_text
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
            scores=_share(score["value"], scorer),
            text=str(score.get("explanation") or score["value"]),
            failure=f"the log says: {error.get('message', error)}" if isinstance(error, dict) else None,
            answers=() if answer is None else (answer,),
        )
        for scorer, score in (record.get("scores") or {}).items()
    ]


def _share(value: object, scorer: str) -> tuple[float] | None:
    """Inspect's value as a share of correct.

    Raises:
        ValueError: it is a number beyond 0 to 1, or something else that is no share.
    """
    if isinstance(value, str) and value.upper() in _VALUES:
        return (_VALUES[value.upper()],)
    if isinstance(value, bool | int | float) and 0 <= value <= 1:
        return (float(value),)
    raise ValueError(f"scorer {scorer!r}: value {value!r} is neither C, P, I, N nor a number from 0 to 1")


INSPECT_LOG = JudgmentFormat("Inspect log", lambda record: INSPECT in record, _read)
