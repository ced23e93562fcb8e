"""What the judgments of the same answers come to: both orders of a pair taken together."""

from collections.abc import Sequence
from dataclasses import dataclass

from eval.judgments import Judgment


@dataclass(frozen=True, slots=True)
class Outcome:
    """One judge's finding on one turn of one question, for one contestant or one pair.

    Attributes:
        judge: its name.
        question: the question's id.
        turn: from 1.
        models: the contestant, or the pair in a fixed order (not the order of showing): alphabetical, but the
            baseline, if there is one, second.
        scores: one for each of `models`, as in `Judgment`, the mean of both orders; None if any verdict it
            needs is missing.
        contradiction: both orders were judged and name different winners (`pairwise`: the scores are then 0.5, 0.5).
        judgments: what it was made from, the order of `models` first.
    """

    judge: str
    question: str
    turn: int
    models: tuple[str, ...]
    scores: tuple[float, ...] | None
    contradiction: bool
    judgments: tuple[Judgment, ...]


def without_duplicates(judgments: Sequence[Judgment]) -> tuple[list[Judgment], list[Judgment]]:
    """Part judgments from further ones of the same thing.

    The rule: of judgments with the same judge, mode, question, turn, models in the same order, and repeat, the first
    with a verdict counts; if none has one, the first.

    Returns:
        those that count, and the duplicates.
    """
    raise NotImplementedError


def outcomes(judgments: Sequence[Judgment], baseline: str | None = None) -> list[Outcome]:
    """Bring together what belongs together; repeats are left to the audit, duplicates must be gone.

    The order is that of first appearance.
    """
    raise NotImplementedError
