"""What a score is, and where a conversation keeps its own."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from camelid.message import Conversation, merge_meta

SCORES = "scores"  # the field of `meta`: numbers by name

ScoreSource = Literal["conversation", "set", "judge", "losses"]


@dataclass(frozen=True)
class ConversationScore:
    """A number for each conversation.

    Attributes:
        name: in `meta.scores` and on the command line.
        help: what it says, with its unit.
        source: what it is made from: a conversation alone, the whole set, a judge's grades, a local model's losses.
        best: which end `--top` takes.
        of: of a conversation alone, given the run's seed; None of the others.
    """

    name: str
    help: str
    source: ScoreSource
    best: Literal["high", "low"] = "high"
    of: Callable[[Conversation, int], float] | None = None


def held_scores(conversation: Conversation) -> dict[str, float]:
    """The scores in a conversation's `meta`; what is there and no number is none."""
    held = conversation.meta.get(SCORES)
    return {name: float(value) for name, value in held.items() if is_score(value)} if isinstance(held, dict) else {}


def with_scores(conversation: Conversation, scores: Mapping[str, float | None]) -> Conversation:
    """The conversation with these scores, too, in place of those of the same names; None takes one away.

    Something else that `meta` has under that name moves to `scores#2`.
    """
    held = conversation.meta.get(SCORES, {})
    if not isinstance(held, dict):
        others = {name: value for name, value in conversation.meta.items() if name != SCORES}
        return with_scores(replace(conversation, meta=merge_meta({SCORES: {}, **others}, {SCORES: held})), scores)
    kept = {name: value for name, value in held.items() if name not in scores}
    new = {name: rounded(value) for name, value in scores.items() if value is not None}
    return replace(conversation, meta={**conversation.meta, SCORES: {**kept, **new}})


def is_score(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def rounded(value: float) -> float:
    """Six significant digits: what a reader can use, and the same bytes on machines that differ in the last bit."""
    return float(f"{value:.6g}")
