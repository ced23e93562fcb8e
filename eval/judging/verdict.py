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

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")

HIGHEST = 10.0  # grade

NUMBER = r"(\d+(?:\.\d+)?)(?:\s*/\s*10)?"
NOTHING_MORE = r"(?![\d\]]|[.,]\d|\s*[-/~\u2013]\s*\d)"
_QUOTED = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|(?<!\w)'[^'\n]*'(?!\w)|`[^`\n]*`|^\s*>.*$", re.MULTILINE)
_JOIN = re.compile(r"\s*(?:,|/|or|and|vs\.?|versus)\s*(?:rating:\s*)?", re.IGNORECASE)
_LABEL = re.compile(r"(?:\b(?:my|the|final|overall|verdict|rating|grade|score|is)\b|[\s*_#.:\-\u2013])*", re.IGNORECASE)
_TAIL = re.compile(r"(?:/\s*10|out of 10|[\s*_#.!\"'”`])*", re.IGNORECASE)

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


def find_verdict(text: str, forms: Sequence[re.Pattern[str]], value: Callable[[re.Match[str]], T]) -> T | None:
    """The verdict in a reply by rules 1 to 4 above; None if it can't be told.

    Args:
        text: the reply.
        forms: how a verdict is written, the asked-for form first.
        value: what one says.
    """
    quotes = [found.span() for found in _QUOTED.finditer(text)]
    matches = [list(form.finditer(text)) for form in forms]
    for found in matches:
        own = [one for one in found if not any(low <= one.start() < high for low, high in quotes)]
        if own:
            said = _without_choices(text, own)
            standing = [one for one in said if _stands(text, one)]
            return _only({value(one) for one in standing or said})
    return _only({value(one) for found in matches for one in found})


def speaks_to_judge(answer: str) -> tuple[str, str] | None:
    """Why an answer seems to address its judge, and its words that do; None if it doesn't seem to."""
    for reason, pattern in _SPEAKS_TO_JUDGE:
        found = pattern.search(answer)
        if found:
            return reason, answer[max(0, found.start() - 20) : found.end() + 20].replace("\n", " ").strip()
    return None


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
