"""What a judge's reply says, or that it can't be told; and what an answer tries to tell the judge.

The rules for all verdicts, made to be right or to give up (None, "unparsed"):

1. What stands in quotation marks, back quotes or a quoted line is what someone else said. It counts only if nothing
   else in the reply is a verdict, and then only if it is the same everywhere.
2. The asked-for form comes first; looser forms count only where it is absent.
3. A verdict "stands" if it has a line to itself or ends the reply. If any stand, all that stand must be the same, and
   verdicts within sentences don't matter ("[[1]] would be unfair ... [[7]]" is 7). If none stands, all must agree.
4. Verdicts joined by "and", "or", "/" or a comma are a choice that is being discussed, and don't count.
5. A number out of range, or of another scale ("[[100]]", "[[80/100]]"), is no grade.
"""

import ast
import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

LOWEST, HIGHEST = 1, 10
# GPT-4 gave 0 in Vicuna's published reviews, and they count it (FastChat, table/review, llama-13b, question 74).
LOWEST_OF_PAIR = 0
UNLIKELY = -100.0  # log-probability of a token that is not among the likeliest (AlpacaEval, completion_parsers.py)

_NUMBER = r"(\d+(?:\.\d+)?)(?:\s*/\s*10)?"
_NOTHING_MORE = r"(?![\d\]]|[.,]\d|\s*[-/~\u2013]\s*\d)"
_RATINGS = (
    re.compile(rf"\[\[\s*{_NUMBER}\s*\]\]"),
    re.compile(rf"\brating:\s*[*_]*\[?\s*{_NUMBER}\s*\]?{_NOTHING_MORE}", re.IGNORECASE),
)
_LETTERS = (re.compile(r"\[\[\s*([ABC])\s*\]\]"),)
_QUOTED = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|(?<!\w)'[^'\n]*'(?!\w)|`[^`\n]*`|^\s*>.*$", re.MULTILINE)
_JOIN = re.compile(r"\s*(?:,|/|or|and|vs\.?|versus)\s*(?:rating:\s*)?", re.IGNORECASE)
_LABEL = re.compile(r"(?:\b(?:my|the|final|overall|verdict|rating|grade|score|is)\b|[\s*_#.:\-\u2013])*", re.IGNORECASE)
_TAIL = re.compile(r"(?:/\s*10|out of 10|[\s*_#.!\"'”`])*", re.IGNORECASE)

_FIRST_LINE = re.compile(rf"[\s*]*{_NUMBER}(?:\s*,\s*|\s+){_NUMBER}[\s*]*(?:\n|$)")
_BY_NAME = tuple(
    re.compile(rf"^[\s*\-]*Assistant {number}[*]*:[* \t]*{_NUMBER}{_NOTHING_MORE}", re.MULTILINE) for number in (1, 2)
)
_IN_BRACKETS = re.compile(rf"(?:scores?(?: are| is)?|output)\s*:?\s*\(\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\)", re.IGNORECASE)

_SPEAKS_TO_JUDGE = (
    ("contains a verdict", re.compile(r"\[\[\s*(?:\d+(?:\.\d+)?(?:\s*/\s*10)?|[ABC])\s*\]\]")),
    ("contains a verdict", re.compile(r"\brating:\s*\**\d+(?:\s*/\s*10)?\b", re.IGNORECASE)),
    ("contains a verdict", re.compile(r"['\"]model['\"]\s*:\s*['\"]\w+['\"]\s*,\s*['\"]rank['\"]", re.IGNORECASE)),
    ("imitates the judge's prompt", re.compile(r"\[\s*the\s+(?:start|end)\s+of\b", re.IGNORECASE)),
    (
        "asks for a grade",
        re.compile(r"\b(?:rate|grade|score)\b.{0,40}\b(?:10|ten|highest|full marks)\b", re.IGNORECASE),
    ),
    (
        "gives the judge instructions",
        re.compile(
            r"\b(?:ignore|disregard|forget)\b.{0,40}\b(?:instructions?|rubric|criteria|prompt)\b"
            r"|\b(?:dear|note to|to the|attention)\s+(?:judge|grader|evaluator)\b"
            r"|\b(?:assistant|model|answer|response) (?:A|B|1|2|m|M) (?:is|should be|must be) "
            r"(?:clearly |much )?(?:better|preferred|the winner|ranked)",
            re.IGNORECASE,
        ),
    ),
)


def parse_rating(text: str) -> float | None:
    """The grade a judge gave in `Rating: [[7]]`, 1 to 10 (MT-bench's form); None if it can't be told."""

    def value(found: re.Match[str]) -> float:
        return float(found[1])

    rating = _said(text, _RATINGS, value)
    return rating if rating is not None and LOWEST <= rating <= HIGHEST else None


def parse_letter(text: str) -> tuple[float, float] | None:
    """Shares of the win from `[[A]]`, `[[B]]` or, for a tie, `[[C]]` (MT-bench's form); None if it can't be told."""
    letter = _said(text, _LETTERS, lambda found: found[1])
    return None if letter is None else {"A": (1.0, 0.0), "B": (0.0, 1.0), "C": (0.5, 0.5)}[letter]


def parse_pair(text: str) -> tuple[float, float] | None:
    """Two grades, 0 to 10, from a first line like `8 9.5` (Vicuna's form); None if they can't be told.

    GPT-4 often wrote its reasoning first where the question was mathematics. Then the grades are looked for as
    `Assistant 1: 8` and `Assistant 2: 9` on lines of their own, or as `scores are (8, 9)`; all must agree.
    """
    first = _FIRST_LINE.match(text)
    if first:
        found = {(float(first[1]), float(first[2]))}
    else:
        ones, twos = ({float(value) for value in form.findall(text)} for form in _BY_NAME)
        found = {(one, two) for one in ones for two in twos}
        found |= {(float(one), float(two)) for one, two in _IN_BRACKETS.findall(text)}
    if len(found) != 1:
        return None
    pair = found.pop()
    return pair if all(LOWEST_OF_PAIR <= grade <= HIGHEST for grade in pair) else None


def parse_preference(text: str, logprobs: Mapping[str, float]) -> tuple[float, float] | None:
    """Shares of the win as AlpacaEval reads them; None if they can't be told.

    Three forms: the log-probabilities of the tokens `m` (first) and `M` (second), which give shares between 0 and 1
    (AlpacaEval 2, weighted_alpaca_eval_gpt4_turbo); without them, a reply that is just `m` or `M`; or a ranking
    `[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 2}]` (AlpacaEval 1). Equal ranks are a tie.
    """
    if "m" in logprobs or "M" in logprobs:
        # One exponential of the difference, since both probabilities may be tiny.
        second = 1 / (1 + math.exp(min(700.0, logprobs.get("m", UNLIKELY) - logprobs.get("M", UNLIKELY))))
        return 1 - second, second
    word = text.strip().strip("\"'`.*")
    if word in ("m", "M"):
        return (1.0, 0.0) if word == "m" else (0.0, 1.0)
    found = set(re.findall(r"\[\s*\{[^\[\]]*\}\s*,\s*\{[^\[\]]*\}\s*\]", text))
    ranks = {_ranks(item) for item in found}
    if len(ranks) != 1:
        return None
    return ranks.pop()


def speaks_to_judge(answer: str) -> tuple[str, str] | None:
    """Why an answer seems to address its judge, and its words that do; None if it doesn't seem to."""
    for reason, pattern in _SPEAKS_TO_JUDGE:
        found = pattern.search(answer)
        if found:
            return reason, answer[max(0, found.start() - 20) : found.end() + 20].replace("\n", " ").strip()
    return None


def _said(text: str, forms: Sequence[re.Pattern[str]], value: Callable[[re.Match[str]], T]) -> T | None:
    """Rules 1 to 4 above."""
    quotes = [found.span() for found in _QUOTED.finditer(text)]
    matches = [list(form.finditer(text)) for form in forms]
    for found in matches:
        own = [one for one in found if not any(low <= one.start() < high for low, high in quotes)]
        if own:
            said = _without_choices(text, own)
            standing = [one for one in said if _stands(text, one)]
            return _only({value(one) for one in standing or said})
    return _only({value(one) for found in matches for one in found})


def _only(values: set[T]) -> T | None:
    return values.pop() if len(values) == 1 else None


def _without_choices(text: str, found: Sequence[re.Match[str]]) -> list[re.Match[str]]:
    joined = [bool(_JOIN.fullmatch(text[one.end() : two.start()])) for one, two in pairwise(found)]
    return [
        one for one, before, after in zip(found, [False, *joined], [*joined, False], strict=True) if not before | after
    ]


def _stands(text: str, found: re.Match[str]) -> bool:
    start, end = text.rfind("\n", 0, found.start()) + 1, text.find("\n", found.end())
    after = text[found.end() : end if end >= 0 else len(text)]
    alone = _LABEL.fullmatch(text[start : found.start()]) and _TAIL.fullmatch(after)
    return bool(alone or _TAIL.fullmatch(text[found.end() :]))


def _ranks(text: str) -> tuple[float, float] | None:
    try:
        ranks = {str(item["model"]): int(item["rank"]) for item in ast.literal_eval(text)}
        first, second = ranks["model_1"], ranks["model_2"]
    except (ValueError, SyntaxError, TypeError, KeyError):
        return None
    if {first, second} not in ({1, 2}, {1}):
        return None
    return (0.5, 0.5) if first == second else (float(first < second), float(second < first))
