"""What a judge's reply says, or that it can't be told; and what an answer tries to tell the judge."""

import re

LOWEST, HIGHEST = 1, 10

_NUMBER = r"(\d+(?:\.\d+)?)(?:\s*/\s*10)?"
# From the asked-for form to looser ones; in each, the last one said counts, since a judge that reconsiders or
# quotes gives its verdict at the end.
_FORMS = (
    re.compile(rf"rating:\s*\[\[\s*{_NUMBER}\s*\]\]", re.IGNORECASE),
    re.compile(rf"\[\[\s*{_NUMBER}\s*\]\]"),
    re.compile(rf"rating:\s*\**\[?\s*{_NUMBER}\s*\]?(?![\d\]])", re.IGNORECASE),
)
_SPEAKS_TO_JUDGE = (
    re.compile(r"\[\[\s*(?:\d+(?:\.\d+)?(?:\s*/\s*10)?|[ABC])\s*\]\]"),
    re.compile(r"\[The (?:Start|End) of"),
    re.compile(r"\b(?:rate|grade|score)\b.{0,40}\b(?:10|ten)\b", re.IGNORECASE),
    re.compile(r"\b(?:ignore|disregard)\b.{0,40}\b(?:instructions|rubric|criteria)\b", re.IGNORECASE),
)


def parse_rating(text: str) -> float | None:
    """The rating a judge gave, 1 to 10; None if there is none or it lies outside."""
    for form in _FORMS:
        found = form.findall(text)
        if found:
            rating = float(found[-1])
            return rating if LOWEST <= rating <= HIGHEST else None
    return None


def speaks_to_judge(answer: str) -> bool:
    """Whether an answer contains a verdict, the judge prompt's markers, or instructions to a judge."""
    return any(pattern.search(answer) for pattern in _SPEAKS_TO_JUDGE)
