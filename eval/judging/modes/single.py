"""`single`: a grade of one answer, as MT-bench (Zheng et al. 2023, "Judging LLM-as-a-Judge")."""

import re
from collections.abc import Mapping

from eval.judging.modes.mode import Asking, Mode, grade
from eval.judging.verdict import HIGHEST, NOTHING_MORE, NUMBER, find_verdict, has_json, json_verdict, plain_reply
from eval.results import Scale

LOWEST = 1.0
_RATINGS = (
    re.compile(rf"(?<!\w)\[\[\s*{NUMBER}\s*\]\]"),
    re.compile(
        rf"(?<![^\W_])rating[*_]*\s*(?::|=|is|-)\s*[*_`(]*\[?\s*{NUMBER}(?:\s*\])?{NOTHING_MORE}", re.IGNORECASE
    ),
)
_IN_JSON = re.compile(rf"(?:\[\[)?\s*{NUMBER}\s*(?:\]\])?")


def parse_rating(text: str, logprobs: Mapping[str, float]) -> tuple[float] | None:
    """The grade a judge gave in `Rating: [[7]]`, 1 to 10 (MT-bench's form); None if it can't be told."""

    def value(found: re.Match[str]) -> float:
        return float(found[1])

    text = plain_reply(text)
    said = json_verdict(text, ("rating", "score", "grade"))
    in_json = None if said is None or isinstance(said, bool) else _IN_JSON.fullmatch(str(said))
    if in_json:
        rating: float | None = value(in_json)
    else:
        rating = None if has_json(text) else find_verdict(text, _RATINGS, value)
    return (rating,) if rating is not None and LOWEST <= rating <= HIGHEST else None


SINGLE = Mode(
    name="single",
    help="a grade from 1 to 10, as MT-bench",
    method="each answer graded by itself, 1 to 10",
    # FastChat, llm_judge/common.py
    asking=Asking("judge_single.txt", ("Assistant",), temperature=0.0, max_tokens=2048),
    parse=parse_rating,
    verdict="grades",
    verdict_range=(LOWEST, HIGHEST),
    value=grade,
    scale=Scale("mean grade", "of 10", 1.0, 10.0, None),
    bounds=(1.0, 10.0),
    canary_limit=3.0,  # a text without content deserves a 1; the rest is allowance for noise
    orders="one",
)
