"""`pairwise`: the better of two answers, asked in both orders, as MT-bench (Zheng et al. 2023)."""

import re
from collections.abc import Mapping

from eval.judging.modes.mode import WIN_RATE, Asking, Mode, share
from eval.judging.verdict import find_verdict

_LETTERS = (re.compile(r"\[\[\s*([ABC])\s*\]\]"),)


def parse_letter(text: str, logprobs: Mapping[str, float]) -> tuple[float, float] | None:
    """Shares of the win from `[[A]]`, `[[B]]` or, for a tie, `[[C]]` (MT-bench's form); None if it can't be told."""
    letter = find_verdict(text, _LETTERS, lambda found: found[1])
    return None if letter is None else {"A": (1.0, 0.0), "B": (0.0, 1.0), "C": (0.5, 0.5)}[letter]


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
    win_needs_both=True,  # Zheng et al. 2023, section 3.4
)
