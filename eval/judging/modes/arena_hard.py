"""`arena-hard`: which of two answers is better and whether by far, in both orders, as Arena-Hard (Li et al. 2024).

Each order is a battle of its own and a verdict "significantly better" counts as three (github.com/lmarena/
arena-hard-auto, show_result.py, `load_judgments`, weight=3). A score is the share of battles won, a tie half.
"""

import re
from collections.abc import Mapping

from eval.judging.modes.mode import WIN_RATE, Asking, Mode, Scores
from eval.judging.verdict import find_verdict, plain_reply

BY_FAR = 3.0  # battles that a verdict "significantly better" counts for
_SIGN = r"([ab])\s*(<<|<|>>|>|\u226a|\u226b|==?)\s*([ab])"
_FORMS = (
    re.compile(rf"\[\[\s*(?:{_SIGN}|([abc]|tie))\s*\]\]", re.IGNORECASE),
    re.compile(rf"(?<!\[)\[\s*{_SIGN}\s*\](?!\])", re.IGNORECASE),  # the looser form of arena-hard-v2.0.yaml
)


def parse_battle(text: str, logprobs: Mapping[str, float]) -> tuple[float, float] | None:
    """Battles won by each from `[[A>>B]]`, `[[A>B]]`, `[[A=B]]`, `[[B>A]]` or `[[B>>A]]`; None if it can't be told."""

    def value(found: re.Match[str]) -> tuple[float, float] | None:
        one, sign, two, *alone = (part and part.lower() for part in found.groups())
        if alone and alone[0]:
            return {"a": (1.0, 0.0), "b": (0.0, 1.0)}.get(alone[0], (0.5, 0.5))
        if one == two:
            return None
        if sign.startswith("="):
            return 0.5, 0.5
        weight = BY_FAR if len(sign) == 2 or sign in "\u226a\u226b" else 1.0
        first_wins = (sign[0] in ">\u226b") == (one == "a")
        return (weight, 0.0) if first_wins else (0.0, weight)

    return find_verdict(plain_reply(text), _FORMS, value)


def battles_won(scores: Scores, place: int) -> tuple[float, float]:
    """The share of the battles, in percent: a win rate in which some count for more."""
    return 100 * scores[place], sum(scores)


ARENA_HARD = Mode(
    name="arena-hard",
    help="the better of two and whether by far, in both orders, as Arena-Hard",
    method="two answers at a time, the better one named and whether by far",
    # arena-hard-auto, config/arena-hard-v2.0.yaml, asks for up to 16,000 tokens: its judge answers the question first
    asking=Asking("judge_arena_hard.txt", ("Assistant A", "Assistant B"), temperature=0.0, max_tokens=4096),
    parse=parse_battle,
    verdict="grades",
    verdict_range=(0.0, BY_FAR),
    value=battles_won,
    scale=WIN_RATE,
    bounds=(0.0, 100.0),
    canary_limit=10.0,  # a text without content deserves no win; the rest is allowance for noise
    claim="[[A>>B]]",
    needs_baseline=True,
)
