"""`correctness`: correct, partly or not, as Inspect's `model_graded_qa` (UK AI Security Institute)."""

import re
from collections.abc import Mapping

from eval.judging.modes.mode import Asking, Mode, percent
from eval.judging.verdict import find_verdict, plain_reply
from eval.results import Scale

# inspect_ai/scorer/_model.py asks for "GRADE: $LETTER"; value_to_float in _metric.py: correct 1, partly 0.5, not 0.
SHARES = {"C": 1.0, "P": 0.5, "I": 0.0}
_FORMS = (re.compile(r"\bGRADE[*_]*\s*:[\s*_`'\"(]*([CPI])\b(?!\s*(?:or|and|,|/)\s*[CPI]\b)", re.IGNORECASE),)


def parse_letter_grade(text: str, logprobs: Mapping[str, float]) -> tuple[float] | None:
    """1 for `GRADE: C`, 0.5 for `P`, 0 for `I`; None if it can't be told."""
    letter = find_verdict(plain_reply(text), _FORMS, lambda found: found[1].upper())
    return None if letter is None else (SHARES[letter],)


CORRECTNESS = Mode(
    name="correctness",
    help="correct, partly or not, as Inspect's model_graded_qa",
    method="each answer called correct, partly correct or incorrect",
    asking=Asking("judge_correctness.txt", ("Assistant",), temperature=0.0, max_tokens=1024),
    parse=parse_letter_grade,
    verdict="grades",
    verdict_range=(0.0, 1.0),
    value=percent,
    scale=Scale("correct", "%", 0.0, 100.0, None),
    bounds=(0.0, 100.0),
    canary_limit=10.0,  # a text without content answers nothing; the rest is allowance for noise
    claim="GRADE: C",
    orders="one",
)
