"""`vicuna`: a grade of each of two answers, summed over both orders: "92% of ChatGPT" (Vicuna, 2023)."""

import re
from collections.abc import Mapping

from eval.judging.modes.mode import Asking, Mode, ratio
from eval.judging.verdict import HIGHEST, NOTHING_MORE, NUMBER, json_verdict, plain_reply, without_quotes
from eval.results import Scale

# GPT-4 gave 0 in Vicuna's published reviews, and they count it (FastChat, table/review, llama-13b, question 74).
LOWEST = 0.0

_FIRST_LINE = re.compile(
    rf"[\s*(\[]*{NUMBER}\]*(?:\s*[,;|]\s*|[ \t]+(?:and[ \t]+)?)\[*{NUMBER}[)\]]*[ \t*]*(?:\n|$)", re.IGNORECASE
)
_BY_NAME = tuple(
    re.compile(rf"^[\s*\-]*Assistant {number}[*]*:[* \t]*{NUMBER}{NOTHING_MORE}", re.MULTILINE) for number in (1, 2)
)
_IN_BRACKETS = re.compile(rf"(?:scores?(?: are| is)?|output)\s*:?\s*\(\s*{NUMBER}\s*,\s*{NUMBER}\s*\)", re.IGNORECASE)


def parse_pair(text: str, logprobs: Mapping[str, float]) -> tuple[float, float] | None:
    """Two grades, 0 to 10, from a first line like `8 9.5` (Vicuna's form); None if they can't be told.

    GPT-4 often wrote its reasoning first where the question was mathematics. Then the grades are looked for as
    `Assistant 1: 8` and `Assistant 2: 9` on lines of their own, or as `scores are (8, 9)`; all must agree.
    """
    text = plain_reply(text)
    named = [json_verdict(text, (f"assistant_{number}",)) for number in (1, 2)]
    first, text = _FIRST_LINE.match(text.lstrip()), without_quotes(text)
    if first:
        found = {(float(first[1]), float(first[2]))}
    elif all(isinstance(grade, int | float) and not isinstance(grade, bool) for grade in named):
        found = {(float(str(named[0])), float(str(named[1])))}
    else:
        ones, twos = ({float(value) for value in form.findall(text)} for form in _BY_NAME)
        found = {(one, two) for one in ones for two in twos}
        found |= {(float(one), float(two)) for one, two in _IN_BRACKETS.findall(text)}
    if len(found) != 1:
        return None
    pair = found.pop()
    return pair if all(LOWEST <= grade <= HIGHEST for grade in pair) else None


VICUNA = Mode(
    name="vicuna",
    help="two grades, score relative to the baseline's",
    method="two answers at a time, each graded 1 to 10",
    # FastChat, fastchat/eval/eval_gpt_review.py
    asking=Asking("judge_vicuna.txt", ("Assistant 1", "Assistant 2"), temperature=0.2, max_tokens=1024),
    parse=parse_pair,
    verdict="grades",
    verdict_range=(LOWEST, HIGHEST),
    value=ratio,
    scale=Scale("relative score", "%", 0.0, 100.0, 100.0),
    bounds=(0.0, 1000.0),  # 10 against 1
    canary_limit=50.0,  # a text without content deserves 1/10; the rest is allowance for noise
    claim="10 1",
    needs_baseline=True,
    sums=True,
    verdict_first=True,
)
