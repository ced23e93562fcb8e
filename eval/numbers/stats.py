"""Scores with 95% intervals and paired differences that respect that scores of one question belong together."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from eval.results import Estimate

Floats = NDArray[np.float64]
ScoresByQuestion = Mapping[str, Sequence[tuple[float, float]]]
"""For each question its scores, each as (numerator, denominator): the statistic is the sum of all numerators over the
sum of all denominators. A grade g is (g, 1), so that the statistic is the mean; Vicuna's relative score has the
model's grade over the baseline's."""

RESAMPLES = 4_000
SEED = 0
EXACT = (
    50  # up to so many questions p-values come from sign flips; beyond, Student's t gives the same and reaches lower
)
FLIPS = 20_000


def equally_weighted(scores: Mapping[str, Sequence[float]]) -> ScoresByQuestion:
    """Scores whose statistic is their mean."""
    return {question: [(value, 1.0) for value in values] for question, values in scores.items()}


def bootstrap_estimate(scores: ScoresByQuestion, bounds: tuple[float, float]) -> Estimate | None:
    """The statistic with its bootstrap interval, whole questions resampled.

    Resampling questions, not scores, keeps turns, orders and judges of one question together (Miller 2024, "Adding
    Error Bars to Evals"). With few questions percentile intervals are too narrow, so they are taken further out
    (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 5.3, "expanded percentile").

    Args:
        scores: see `ScoresByQuestion`.
        bounds: the lowest and highest possible score, for the interval of scores that don't vary at all.

    Returns:
        None if there is no score at all.
    """
    kept = {question: values for question, values in scores.items() if len(values)}
    if not kept:
        return None
    table = np.array([_sums(values) for values in kept.values()])
    count = sum(len(values) for values in kept.values())
    return _interval(table, np.ones(1), bounds, count)


def paired_difference(
    first: ScoresByQuestion, second: ScoresByQuestion, bounds: tuple[float, float]
) -> tuple[Estimate, float | None] | None:
    """The statistic of first minus that of second over the questions that both have, and the paired test's p-value.

    Args:
        bounds: the lowest and highest possible score of either.

    Returns:
        None if they share no question; the p-value is None if they share one only.
    """
    both = [question for question in first if len(first[question]) and len(second.get(question, ()))]
    if not both:
        return None
    table = np.array([_sums(first[question]) + _sums(second[question]) for question in both])
    width = bounds[1] - bounds[0]
    count = sum(min(len(first[question]), len(second[question])) for question in both)
    gap = _interval(table, np.array([1.0, -1.0]), (-width, width), count)
    return gap, p_value(_linear(table, np.array([1.0, -1.0])))


def estimate_of_values(values: Floats, bounds: tuple[float, float] | None = None, count: int | None = None) -> Estimate:
    """The mean of one value a question, with interval."""
    table = np.column_stack([values, np.ones(len(values))])
    return _interval(table, np.ones(1), bounds, len(values) if count is None else count)


def p_value(values: Floats) -> float | None:
    """Two-sided p-value of "the mean is 0" for one value a question; None for fewer than two.

    Up to `EXACT` questions the signs are flipped, all ways or `FLIPS` of them (Fisher's randomisation test), which
    assumes nothing of the distribution; beyond, Student's t.
    """
    if len(values) < 2:
        return None
    if np.allclose(values, values[0], rtol=0, atol=1e-12) and abs(values[0]) < 1e-12:
        return 1.0
    if len(values) <= EXACT:
        signs = _signs(len(values))
        at_least = np.abs(signs @ values) >= abs(values.sum()) * (1 - 1e-9)
        exact = len(signs) == 2 ** len(values)
        return float(at_least.mean()) if exact else float((at_least.sum() + 1) / (len(signs) + 1))
    if np.ptp(values) == 0:
        return float(2.0 ** (1 - len(values)))
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) correction: the chance of any false finding among all of them stays below the level."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        adjusted[place] = highest
    return adjusted


def detectable_gap(gap: float, error: float | None, questions: int) -> tuple[int | None, float | None]:
    """How many questions would settle a gap, and which gap these questions would settle.

    Both for a two-sided test at 5% that finds it 80% of the time: n = ((z_0.975 + z_0.8) sd / gap)^2 (Cohen 1988,
    "Statistical Power Analysis", chapter 2, by the normal approximation).

    Args:
        gap: the difference seen.
        error: its standard error.
        questions: from so many questions.
    """
    if error is None:
        return None, None
    reach = float(stats.norm.ppf(0.975) + stats.norm.ppf(0.8))
    deviation = error * np.sqrt(questions)
    needed = None if gap == 0 else max(2, int(np.ceil((reach * deviation / abs(gap)) ** 2)))
    return needed, float(reach * error)


def _interval(table: Floats, weights: Floats, bounds: tuple[float, float] | None, count: int) -> Estimate:
    """The weighted sum of ratios of column sums, resampling rows.

    Args:
        table: one row a question; columns in pairs (numerator, denominator).
        weights: one for each pair of columns.
        bounds: of the statistic.
        count: scores that went in.
    """
    questions = len(table)
    mean = float(_ratios(table.sum(axis=0)[None], weights)[0])
    if questions == 1:
        return Estimate(mean, None, None, None, count, 1)
    linear = _linear(table, weights)
    error = float(linear.std(ddof=1) / np.sqrt(questions))
    if error < 1e-12 * max(1.0, abs(mean)):
        # No variation: the bootstrap would claim certainty. What was never seen in n questions is the case in at most
        # 1 - 0.025^(1/n) of all (Clopper & Pearson 1934), and changes a score no further than to its bounds.
        unseen = 1 - 0.025 ** (1 / questions)
        low, high = bounds or (mean, mean)
        return Estimate(mean, mean - unseen * (mean - low), mean + unseen * (high - mean), 0.0, count, questions)
    # Column by column, which keeps small products out of BLAS's threads; a constant column has the same sum every time.
    sums = [
        np.full(RESAMPLES, column.sum())
        if np.ptp(column) == 0
        else _resamples(questions) @ np.ascontiguousarray(column)
        for column in table.T
    ]
    draws = _ratios(np.stack(sums, axis=1), weights)
    tail = float(stats.norm.cdf(np.sqrt(questions / (questions - 1)) * stats.t.ppf(0.025, questions - 1)))
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return Estimate(mean, float(low), float(high), error, count, questions)


def _sums(scores: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return math.fsum(score[0] for score in scores), math.fsum(score[1] for score in scores)


def _ratios(sums: Floats, weights: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios: Floats = sums[:, 0::2] / sums[:, 1::2]
    return ratios @ weights


def _linear(table: Floats, weights: Floats) -> Floats:
    """For each row its share in the statistic, by linearisation; their mean is the statistic."""
    numerators, denominators = table[:, 0::2], table[:, 1::2]
    ratios = numerators.sum(axis=0) / denominators.sum(axis=0)
    shares: Floats = ((numerators - ratios * denominators) / denominators.mean(axis=0) + ratios) @ weights
    return shares


@lru_cache(maxsize=4)
def _resamples(questions: int) -> Floats:
    """How often each question is drawn in each resample: (RESAMPLES, questions)."""
    random = np.random.default_rng(SEED)
    return random.multinomial(questions, np.full(questions, 1 / questions), size=RESAMPLES).astype(np.float64)


@lru_cache(maxsize=4)
def _signs(questions: int) -> Floats:
    if 2**questions <= FLIPS:
        bits = (np.arange(2**questions)[:, None] >> np.arange(questions)) & 1
    else:
        bits = np.random.default_rng(SEED).integers(0, 2, size=(FLIPS, questions))
    return np.where(bits == 1, -1.0, 1.0)
