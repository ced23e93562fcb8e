"""`pairwise`: the better of two answers, asked in both orders, as MT-bench (Zheng et al. 2023)."""

import re
from collections.abc import Mapping

from eval.judging.modes.mode import WIN_RATE, Asking, Mode, share
from eval.judging.verdict import find_verdict, has_json, json_verdict, plain_reply

# `[[A]]`, `[[B]]` and `[[C]]` are MT-bench's; `[[A>>B]]`, `[[A>B]]`, `[[A=B]]` Arena-Hard's.
_VERDICT = r"(?:assistant\s+)?([abc])(?:\s+is\s+better)?|(tie|draw)|([ab])\s*(<<|<|>>|>|\u226a|\u226b|==?|~)\s*([ab])"
_LETTERS = (re.compile(rf"\[\[\s*(?:{_VERDICT})\s*\]\]", re.IGNORECASE),)
_IN_JSON = re.compile(rf"(?:\[\[)?\s*(?:{_VERDICT})\s*(?:\]\])?", re.IGNORECASE)
_SHARES = {"a": (1.0, 0.0), "b": (0.0, 1.0), "c": (0.5, 0.5)}


def parse_letter(text: str, logprobs: Mapping[str, float]) -> tuple[float, float] | None:
    """Shares of the win from `[[A]]`, `[[B]]` or, for a tie, `[[C]]` (MT-bench's form); None if it can't be told.

    Arena-Hard's `[[A>>B]]`, `[[A>B]]`, `[[A=B]]` say the same, however much better one is.
    """
    text = plain_reply(text)
    said = json_verdict(text, ("verdict", "winner", "better"))
    in_json = _IN_JSON.fullmatch(said.strip()) if isinstance(said, str) else None
    if in_json:
        letter: str | None = _letter(in_json)
    else:
        letter = None if has_json(text) else find_verdict(text, _LETTERS, _letter)
    return None if letter is None else _SHARES.get(letter)


def _letter(found: re.Match[str]) -> str:
    """`a`, `b` or `c`; empty if it compares one with itself."""
    alone, tie, one, sign, two = (part and part.lower() for part in found.groups())
    if alone or tie:
        return alone or "c"
    if one == two:
        return ""
    if sign[0] in "=~":
        return "c"
    return one if sign[0] in ">\u226b" else two


PAIRWISE = Mode(
    name="pairwise",
    help="the better of two, in both orders, as MT-bench",
    method="two answers at a time, the better one named",
    # FastChat, llm_judge/common.py
    asking=Asking("judge_pairwise.txt", ("Assistant A", "Assistant B"), temperature=0.0, max_tokens=2048),
    parse=parse_letter,
    verdict="winner",
    verdict_range=(0.0, 1.0),
    value=share,
    scale=WIN_RATE,
    bounds=(0.0, 100.0),
    canary_limit=10.0,  # a text without content deserves no win; the rest is allowance for noise
    claim="[[A]]",
    win_needs_both=True,  # Zheng et al. 2023, section 3.4
)
