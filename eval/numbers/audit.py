"""How far a judge can be trusted: position, length and self-preference bias, repeatability, and the canary."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from eval.judging.judgment import Judgment
from eval.judging.modes.mode import Mode
from eval.numbers.outcomes import Outcome, first_share, winner
from eval.numbers.stats import Floats, estimate_of_differences
from eval.results import Bias, Estimate, RepeatAgreement

LEVEL = 0.01  # of one alarm; with three biases the chance of any false one stays below 5%
POINTS = "points of win rate"

Lengths = Mapping[tuple[str, str, int], int]
"""Characters of an answer by (model, question, turn)."""


def position_bias(judgments: Sequence[Judgment]) -> Bias:
    """How much more often the answer shown first wins than half the time.

    Which answer is better cancels out where a pair is judged in both orders, and on average where it is judged once
    in an order that was drawn. One fixed order, as in Vicuna's reviews, can't tell.

    Args:
        judgments: of one judge.
    """
    unit = f"{POINTS} for the answer shown first"
    pairs = [item for item in judgments if item.scores and len(item.models) == 2 and item.repeat == 0]
    if not pairs:
        return _unknown(unit, "No pair of answers was judged.")
    rows = []
    for item in pairs:
        models, first = sorted(item.models), 1.0 if item.models[0] < item.models[1] else -1.0
        assert item.scores is not None
        rows.append((f"{models[0]}\0{models[1]}", item.question, 50.0 * first * winner(item.scores), first))
    note = "How often the first of the two shown won, beyond half; the models' own win rates are taken out."
    return _slope(rows, unit, note, "All pairs were judged in one order only, which hides a position bias in quality.")


def length_bias(outcomes: Sequence[Outcome], lengths: Lengths) -> Bias:
    """How much more often the longer of two answers wins than the models alone explain.

    Where answers were graded one by one, the pairs are two models' answers to the same question. Longer answers may
    also be better answers: this is an association, as is AlpacaEval's, and no proof that the judge looks at length.

    Args:
        outcomes: of one judge.
        lengths: of the answers.
    """
    unit = f"{POINTS} for the longer answer"
    rows = []
    for models, question, turn, result in duels(outcomes):
        sizes = [lengths.get((model, question, turn)) for model in models]
        if sizes[0] is not None and sizes[1] is not None:
            longer = float(np.sign(sizes[0] - sizes[1]))
            rows.append((f"{models[0]}\0{models[1]}", question, 50.0 * result, longer))
    if not rows:
        return _unknown(unit, "No two answers to one question were judged, or their lengths are unknown.")
    note = "How often the longer of two answers won, beyond half; the models' own win rates are taken out."
    return _slope(rows, unit, note, "One model's answers are always longer, which hides a length bias in quality.")


def self_preference_bias(judge: str, judges: Sequence[str], models: Sequence[str], outcomes: Sequence[Outcome]) -> Bias:
    """How much more often a judge's own model wins with it than with the other judges, on the same answers.

    With one judge a preference for its own answers can't be told from their being better.

    Args:
        judge: the one to audit.
        judges: all of them.
        models: the contestants' labels.
        outcomes: of all judges.
    """
    unit = f"{POINTS} for its own answers"
    own = [model for model in models if same_model(judge, model)]
    others = [name for name in judges if name != judge and not any(same_model(name, model) for model in own)]
    if not own:
        return _unknown(unit, "No contestant bears the judge's name.")
    if not others:
        return _unknown(
            unit,
            "There is no other judge, so that a preference for its own answers can't be told from their being better.",
        )
    results = {
        (name, question, turn, pair): 50.0 * result
        for name in (judge, *others)
        for pair, question, turn, result in duels([outcome for outcome in outcomes if outcome.judge == name])
    }
    gaps: dict[str, list[float]] = {}
    for (name, question, turn, pair), result in results.items():
        if name != judge or (pair[0] in own) == (pair[1] in own):
            continue
        theirs = [results[key] for other in others if (key := (other, question, turn, pair)) in results]
        if theirs:
            gaps.setdefault(question, []).append((result - float(np.mean(theirs))) * (1 if pair[0] in own else -1))
    if not gaps:
        return _unknown(unit, "No other judge judged the same answers.")
    note = f"{', '.join(own)} against all others, compared with {', '.join(others)} on the same answers."
    count = sum(len(found) for found in gaps.values())
    return _bias(np.array([np.mean(found) for found in gaps.values()]), count, unit, note)


def same_model(one: str, other: str) -> bool:
    """Whether two names are the same model: equal, or one goes on with a date, size or hash (`gpt-4`, `gpt-4-0613`).

    Folders and providers before the name, and case, don't matter. `gpt-4` and `gpt-4o` are two models.
    """
    names = sorted((name.lower().rstrip("/").rsplit("/", 1)[-1] for name in (one, other)), key=len)
    return bool(re.match(rf"{re.escape(names[0])}(?:$|[-:@_][\d@])", names[1]))


def repeat_agreement(judgments: Sequence[Judgment]) -> RepeatAgreement | None:
    """Compare second askings with the first."""
    first = {(item.question, item.turn, item.models): item for item in judgments if item.repeat == 0}
    pairs = [
        (first[key].scores, item.scores)
        for item in judgments
        if item.repeat == 1 and (key := (item.question, item.turn, item.models)) in first
    ]
    known = [(one, two) for one, two in pairs if one and two]
    if not known:
        return None
    changes = [abs(one[0] - two[0]) for one, two in known]
    same = sum((winner(one) == winner(two)) if len(one) == 2 else one == two for one, two in known)
    return RepeatAgreement(len(known), same, float(np.mean(changes)))


def is_gamed(mode: Mode, score: Estimate | None) -> bool | None:
    """Whether the canary's interval lies wholly above what a text without content deserves; None if there is none."""
    return None if score is None or score.low is None else score.low > mode.canary_limit


def duels(outcomes: Sequence[Outcome]) -> list[tuple[tuple[str, str], str, int, float]]:
    """(models, question, turn, -1..1 for the first) of each pair; grades of one question are set against each other.

    The models are in the outcome's order, or for grades in alphabetical order. All outcomes are one judge's.
    """
    found: list[tuple[tuple[str, str], str, int, float]] = []
    alone: dict[tuple[str, int], list[tuple[str, float]]] = {}
    for item in outcomes:
        if item.scores and len(item.models) == 2:
            found.append(((item.models[0], item.models[1]), item.question, item.turn, 2 * first_share(item) - 1))
        elif item.scores:
            alone.setdefault((item.question, item.turn), []).append((item.models[0], item.scores[0]))
    for (question, turn), grades in alone.items():
        grades.sort()
        for place, (one, grade) in enumerate(grades):
            for two, other in grades[place + 1 :]:
                found.append(((one, two), question, turn, float(winner((grade, other)))))
    return found


def _slope(rows: Sequence[tuple[str, str, float, float]], unit: str, note: str, hidden: str) -> Bias:
    """Least squares of a result on a sign, with a term for each pair of models; questions are the clusters.

    Args:
        rows: (pair of models, question, result, sign).
        unit, note: of the `Bias`.
        hidden: the note where the sign never varies within a pair.
    """
    _, place = np.unique([row[0] for row in rows], return_inverse=True)
    questions, where = np.unique([row[1] for row in rows], return_inverse=True)
    table = np.array([row[2:] for row in rows])
    means = np.column_stack([np.bincount(place, column) for column in table.T]) / np.bincount(place)[:, None]
    result, sign = (table - means[place]).T
    spread = float((sign**2).sum())
    if len(questions) < 2 or spread < 1e-9:
        return _unknown(unit, hidden)
    slope = float((result * sign).sum() / spread)
    pulls = np.bincount(where, (result - slope * sign) * sign) * len(questions) / spread
    return _bias(slope + pulls, len(rows), unit, note)


def _bias(values: Floats, count: int, unit: str, note: str) -> Bias:
    size, p = estimate_of_differences(values, count, (-100.0, 100.0))
    return Bias(size, p, p is not None and p < LEVEL, unit, note)


def _unknown(unit: str, note: str) -> Bias:
    return Bias(None, None, None, unit, note)
