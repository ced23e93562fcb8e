"""`prometheus`: a grade from 1 to 5 behind `[RESULT]`, as Prometheus (Kim et al. 2023, 2024)."""

import re
from collections.abc import Mapping

from eval.judging.modes.mode import Asking, Mode, grade
from eval.judging.verdict import find_verdict, plain_reply
from eval.results import Scale

LOWEST, HIGHEST = 1.0, 5.0
# github.com/prometheus-eval/prometheus-eval, docs/prompts.md: "Feedback: (...) [RESULT] (an integer between 1 and 5)"
_FORMS = (
    re.compile(
        r"\[RESULT\][\s:*]*\(?\[?\s*(\d+)(?:\s*/\s*5)?(?:\s*[\])])?(?![\d.,]\d|\d|\s*[-\u2013]\s*\d)", re.IGNORECASE
    ),
    re.compile(r"^\s*(?:score|result):\s*(\d+)(?:\s*/\s*5)?\s*$", re.IGNORECASE | re.MULTILINE),
)


def parse_result(text: str, logprobs: Mapping[str, float]) -> tuple[float] | None:
    """The grade behind `[RESULT]`, 1 to 5; None if it can't be told."""
    found = find_verdict(plain_reply(text), _FORMS, lambda match: float(match[1]))
    return (found,) if found is not None and LOWEST <= found <= HIGHEST else None


PROMETHEUS = Mode(
    name="prometheus",
    help="a grade from 1 to 5 after feedback, as Prometheus",
    method="each answer graded by itself, 1 to 5",
    # prometheus-eval, prometheus_eval/judge.py, samples at 1.0; a grade that can be had again needs 0
    asking=Asking("judge_prometheus.txt", ("Assistant",), temperature=0.0, max_tokens=1024),
    parse=parse_result,
    verdict="grades",
    verdict_range=(LOWEST, HIGHEST),
    value=grade,
    scale=Scale("mean grade", "of 5", 1.0, 5.0, None),
    bounds=(1.0, 5.0),
    canary_limit=2.0,  # a text without content deserves a 1; the rest is allowance for noise
    claim="[RESULT] 5",
    orders="one",
)
