"""What a judge's reply says, or that it can't be told; and what an answer tries to tell the judge.

The rules for all verdicts, made to be right or to give up (None, "unparsed"):

1. Thinking (`<think>`) is no part of a reply. What stands in quotation marks, back quotes, a code block or a quoted
   line is what someone else said, and what follows "for example" is the prompt's; neither is ever a verdict. Only a
   reply that is quoted as a whole is taken for the judge's own.
2. The asked-for form comes first; looser forms count only where it is absent.
3. A verdict "stands" if it has a line to itself or ends the reply. If any stand, all that stand must be the same, and
   verdicts within sentences don't matter ("[[1]] would be unfair ... [[7]]" is 7). If none stands, all must agree.
4. Verdicts joined by "and", "or", "to", "/" or a comma are a choice that is being discussed, and don't count. A verdict
   in a sentence that denies it or says whose it is ("it claims [[10]]") doesn't either.
5. A number out of range, or of another scale ("[[100]]", "[[80/100]]"), is no grade.
6. A JSON object that is the reply, or ends it, is read as JSON (`json_verdict`).
7. A reply that was cut off counts only if a verdict ends it (`read_reply` in `eval.judging.modes.mode`).
"""

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

from camelid.text.thinking import split_thinking

T = TypeVar("T")

HIGHEST = 10.0  # grade
NEAR = 200  # characters before a verdict in which its sentence says whose it is

NUMBER = r"(\d+(?:\.\d+)?)(?:\s*/\s*10(?:\.0)?)?"
NOTHING_MORE = r"(?![\d\]%]|[.,]\d|\s*[-/~\u2013]\s*\d|\s+(?:to|or|and)\s+\d)"

# Full-width forms of ASCII, and the brackets that Chinese replies have in place of square ones.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_FULL_WIDTH |= {0x3010: 0x5B, 0x3011: 0x5D, 0x3014: 0x5B, 0x3015: 0x5D}
_THINKING = re.compile(
    r"^.*</(?:think|thinking|reasoning)>|<(?:think|thinking|reasoning)>.*$", re.DOTALL | re.IGNORECASE
)
_WRAPPED = re.compile(r"""\A(?:"([^"]*)"|“([^”]*)”|'([^']*)'|`([^`]*)`|```\w*\n([^`]*)\n```)\Z""")
_QUOTED = re.compile(
    r"^[ \t]*(?P<fence>```|~~~).*?(?:^[ \t]*(?P=fence)|\Z)"  # a code block
    r"|^[ \t]*>[^\n]*$"  # a quoted line
    r'|(?<![\w"])"(?=\S)[^"]*"(?!\w)'
    r"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」|『[^』]*』|\u2018[^\u2019]*\u2019"
    r"|(?<!\w)'[^'\n]*'(?!\w)|`[^`\n]*`|<(?P<tag>blockquote|quote|q)>.{0,4000}?</(?P=tag)>",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
_EXAMPLE = re.compile(
    r"(?:for example|e\.\s?g\.|such as|\bform|\bformat)\s*[:,]?\s*[(\[]?\s*(?:rating:\s*)?$", re.IGNORECASE
)
_JOIN = re.compile(r"\s*(?:,|/|-|\u2013|or|and|to|vs\.?|versus)\s*(?:rating:\s*)?", re.IGNORECASE)
_LABEL = re.compile(
    r"(?:\b(?:my|the|final|overall|verdict|rating|grade|score|is|tie)\b|[\s*_#$.:\-\u2013=(])*", re.IGNORECASE
)
_TAIL = re.compile(r"(?:/\s*10|out of 10|[\s*_#$.!`)])*", re.IGNORECASE)
_DISOWNED = re.compile(
    r"(?:\bnot|\bnever|n't)\s+(?:say|give|write|rate|award|deserve)\b[^,]*$"
    r"|\b(?:demands?|claims?|asks?|wants?|says?|writes?|insists?)\b(?:(?!\bI\b|\bso\b)[^,])*$",
    re.IGNORECASE,
)
_JSON_END = re.compile(r"(?:\A|\n)[ \t]*(?:```\w*\n)?\s*(\{.*\})\s*(?:```)?\s*\Z", re.DOTALL)

# One of these words is in each match of the two slow patterns below: most answers have none, and are not searched.
_NEEDED_WORDS = {
    "asks for a grade": ("rate", "grade", "score"),
    "gives the judge instructions": (
        *("ignore", "disregard", "forget", "judge", "grader", "evaluator"),
        *("better", "preferred", "the winner", "ranked"),
    ),
}
_SPEAKS_TO_JUDGE = (
    ("contains a verdict", re.compile(r"\[\[\s*(?:\d+(?:\.\d+)?(?:\s*/\s*10)?|[ABC])\s*\]\]")),
    (
        "contains a verdict",
        re.compile(r"\[\[\s*(?:[AB]\s*(?:<<|<|>>|>|=)\s*[AB]|tie)\s*\]\]|\[RESULT\]\s*\d", re.IGNORECASE),
    ),
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


def plain_reply(text: str) -> str:
    """A reply without its thinking, with plain brackets, digits and letters; without the quotes around the whole.

    Of several blanks or empty lines one is left, so that no pattern takes long over them.
    """
    text = _THINKING.sub("", split_thinking(text)[1])
    text = text.translate(_FULL_WIDTH).replace("\\[", "[").replace("\\]", "]").replace("&gt;", ">")
    lines = [" ".join(line.split()) for line in text.strip().split("\n")]
    text = "\n".join(line for line, before in zip(lines, ["", *lines], strict=False) if line or before)
    wrapped = _WRAPPED.match(text)
    return next(part for part in wrapped.groups() if part is not None) if wrapped else text


def find_verdict(text: str, forms: Sequence[re.Pattern[str]], value: Callable[[re.Match[str]], T]) -> T | None:
    """The verdict in a reply by rules 1 to 4 above; None if it can't be told.

    Args:
        text: the reply, as `plain_reply` gives it.
        forms: how a verdict is written, the asked-for form first.
        value: what one says.
    """
    quotes = [found.span() for found in _QUOTED.finditer(text)]
    own = [[one for one in form.finditer(text) if not _is_quoted(text, one, quotes)] for form in forms]
    for place, found in enumerate(own):
        if not found:
            continue
        said = _without_choices(text, found)
        standing = [one for one in said if _stands(text, one)]
        if all(_is_disowned(text, one) for one in standing or said):
            return None
        values = {value(one) for one in standing or said}
        if not standing:  # a looser one that stands may contradict it
            values |= {value(one) for looser in own[place + 1 :] for one in looser if _stands(text, one)}
        return _only(values)
    return None


def json_verdict(text: str, names: Sequence[str]) -> object:
    """What a JSON object says under one of some names (in any case), if it is the reply or ends it; else None.

    Two of the names in it are two verdicts, so that neither counts.
    """
    found = _JSON_END.search(text)
    if not found:
        return None
    tree = _parse(found[1])
    if not isinstance(tree, Mapping):
        return None
    said = [value for name, value in tree.items() if str(name).lower() in names]
    return said[0] if len(said) == 1 else None


def has_json(text: str) -> bool:
    """Whether the reply is one JSON object and nothing else: then what its texts quote is no verdict."""
    found = _JSON_END.match(text)
    return found is not None and isinstance(_parse(found[1]), Mapping)


def without_quotes(text: str) -> str:
    """The reply without what rule 1 calls someone else's."""
    return _QUOTED.sub("", text)


def speaks_to_judge(answer: str) -> tuple[str, str] | None:
    """Why an answer seems to address its judge, and its words that do; None if it doesn't seem to."""
    small = answer.lower()
    for reason, pattern in _SPEAKS_TO_JUDGE:
        words = _NEEDED_WORDS.get(reason, ("",))
        found = pattern.search(answer) if any(word in small for word in words) else None
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


def _is_quoted(text: str, found: re.Match[str], quotes: Sequence[tuple[int, int]]) -> bool:
    """Whether it lies in a quotation, or follows "for example"; back quotes behind a label are the judge's own."""
    line = max(text.rfind("\n", 0, found.start()) + 1, found.start() - NEAR)
    if _EXAMPLE.search(text, line, found.start()):
        return True
    for low, high in quotes:
        if low <= found.start() < high:
            start = text.rfind("\n", 0, low) + 1
            label = text[start:low]
            return not (text[low] == "`" and label.strip() and _LABEL.fullmatch(label))
    return False


def _is_disowned(text: str, found: re.Match[str]) -> bool:
    """Whether its sentence, up to the verdict, denies it or says that it is another's."""
    start = max(text.rfind(mark, 0, found.start()) for mark in ("\n", ". ", "! ", "? ", "; "))
    return bool(_DISOWNED.search(text, max(start + 1, found.start() - NEAR), found.start()))


def _parse(text: str) -> object:
    """JSON, or a Python literal, which some judges write; None if it is neither."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _stands(text: str, found: re.Match[str]) -> bool:
    start, end = text.rfind("\n", 0, found.start()) + 1, text.find("\n", found.end())
    after = text[found.end() : end if end >= 0 else len(text)]
    alone = _LABEL.fullmatch(text[start : found.start()]) and _TAIL.fullmatch(after)
    return bool(alone or _TAIL.fullmatch(text[found.end() :]))
