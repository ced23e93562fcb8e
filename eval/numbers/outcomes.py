"""What the judgments of the same answers come to: both orders of a pair taken together, several judges too."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eval.judging.judgment import Judgment
from eval.judging.modes.table import MODES
from eval.judging.usable import repeat_key

OutcomeScores = tuple[float, ...] | None


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
        contradiction: both orders were judged and their verdicts differ (where a win needs both, the
            scores are then 0.5, 0.5).
        judgments: what it was made from, the order of `models` first.
    """

    judge: str
    question: str
    turn: int
    models: tuple[str, ...]
    scores: OutcomeScores
    contradiction: bool
    judgments: tuple[Judgment, ...]


def without_duplicates(judgments: Sequence[Judgment]) -> tuple[list[Judgment], list[Judgment]]:
    """Part judgments from further ones of the same thing.

    The rule: of judgments with the same judge, mode, question, turn, models in the same order, and repeat, the latest
    with a verdict counts, or the first where no times are known; if none has a verdict, the same among all.

    Returns:
        those that count, and the duplicates.
    """
    chosen: dict[object, int] = {}
    for place, judgment in enumerate(judgments):
        key = repeat_key(judgment)
        if key not in chosen or _weight(judgment) > _weight(judgments[chosen[key]]):
            chosen[key] = place
    kept = set(chosen.values())
    return (
        [judgments[place] for place in sorted(kept)],
        [judgment for place, judgment in enumerate(judgments) if place not in kept],
    )


def pair_order(models: Iterable[str], baseline: str | None) -> tuple[str, ...]:
    """Alphabetical, the baseline last."""
    return tuple(sorted(models, key=lambda model: (model == baseline, model)))


class NeededOrders:
    """In how many orders of showing a pair must be judged by a judge: one pair's rows say nothing of another's.

    Where the mode draws an order, one. Otherwise two, if that judge saw the pair in both orders on at least half of its
    questions: then an order that is missing is missing, and where one is there in a published file of single orders, it
    is a further verdict. A pair that a judge has not seen is like the judge's others.

    Args:
        judgments: of one mode.
    """

    def __init__(self, judgments: Sequence[Judgment]) -> None:
        self._drawn = bool(judgments) and MODES[judgments[0].mode].orders == "drawn"
        seen = dict[tuple[str, str, int, frozenset[str]], set[tuple[str, ...]]]()
        for item in judgments:
            if len(item.models) == 2 and item.repeat == 0:
                thing = (item.judge, item.question, item.turn, frozenset(item.models))
                seen.setdefault(thing, set()).add(item.models)
        self._pairs = dict[tuple[str, frozenset[str]], list[int]]()
        for (judge, _, _, pair), orders in seen.items():
            self._pairs.setdefault((judge, pair), []).append(len(orders))

    def of(self, judge: str, models: Iterable[str]) -> int:
        """Of one contestant, or of a pair."""
        pair = frozenset(models)
        if len(pair) < 2 or self._drawn:
            return 1
        known = self._pairs.get((judge, pair)) or [
            n for (one, _), found in self._pairs.items() if one == judge for n in found
        ]
        return 2 if known and 2 * known.count(2) >= len(known) else 1


def outcomes(judgments: Sequence[Judgment], baseline: str | None = None) -> list[Outcome]:
    """Bring together what belongs together; repeats are left to the audit, duplicates must be gone.

    An outcome needs as many orders as `NeededOrders` says. The order is that of first appearance.
    """
    needed = NeededOrders(judgments)
    groups: dict[tuple[str, str, int, tuple[str, ...]], list[Judgment]] = {}
    for judgment in judgments:
        if judgment.repeat == 0:
            models = pair_order(judgment.models, baseline)
            groups.setdefault((judgment.judge, judgment.question, judgment.turn, models), []).append(judgment)
    made = []
    for (judge, question, turn, models), group in groups.items():
        group.sort(key=lambda judgment: judgment.models != models)
        scores, contradiction = _combine_orders(models, group, needed.of(judge, models))
        made.append(Outcome(judge, question, turn, models, scores, contradiction, tuple(group)))
    return made


def all_judges(found: Sequence[Outcome], judges: Sequence[str], name: str) -> list[Outcome]:
    """The mean of several judges, for what all of them judged; a judge that is missing leaves no score."""
    groups: dict[tuple[str, int, tuple[str, ...]], list[Outcome]] = {}
    for outcome in found:
        groups.setdefault((outcome.question, outcome.turn, outcome.models), []).append(outcome)
    made = []
    for (question, turn, models), group in groups.items():
        known = [outcome.scores for outcome in group if outcome.scores]
        scores = _mean(known) if len(known) == len(judges) else None
        changed = any(outcome.contradiction for outcome in group)
        judgments = tuple(judgment for outcome in group for judgment in outcome.judgments)
        made.append(Outcome(name, question, turn, models, scores, changed, judgments))
    return made


def winner(scores: Sequence[float]) -> int:
    """1 if the first is better, -1 if the second is, 0 for a tie."""
    return int(scores[0] > scores[1]) - int(scores[0] < scores[1])


def first_share(outcome: Outcome) -> float:
    """The first one's share of the win, 0..1; of two grades the higher wins."""
    assert outcome.scores is not None and len(outcome.scores) == 2
    if MODES[outcome.judgments[0].mode].graded:
        return 0.5 + 0.5 * winner(outcome.scores)
    return outcome.scores[0]


def _combine_orders(models: tuple[str, ...], group: Sequence[Judgment], needed: int) -> tuple[OutcomeScores, bool]:
    """The rule for two orders: the mode counts a win only if both say so (Zheng et al. 2023, "Judging LLM-as-a-Judge
    with MT-Bench and Chatbot Arena", section 3.4), or the mean of both.
    """
    known = [item.scores if item.models == models else item.scores[::-1] for item in group if item.scores]
    changed = len(known) == 2 and len(models) == 2 and winner(known[0]) != winner(known[1])
    if len(known) < needed:
        return None, changed
    if changed and MODES[group[0].mode].win_needs_both:
        return (0.5, 0.5), True
    return _mean(known), changed


def _weight(judgment: Judgment) -> tuple[bool, float]:
    """Of two judgments of the same thing the one with the larger counts."""
    return judgment.scores is not None, judgment.time


def _mean(scores: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(math.fsum(column) / len(scores) for column in zip(*scores, strict=True))
