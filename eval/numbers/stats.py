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

SEED = 0
EXACT = 50  # up to so many questions tests flip signs; beyond, Student's t says the same and reaches lower
FLIPS = 20_000


def equally_weighted(scores: Mapping[str, Sequence[float]]) -> ScoresByQuestion:
    """Scores whose statistic is their mean."""
    return {question: [(value, 1.0) for value in values] for question, values in scores.items()}


def score_estimate(scores: ScoresByQuestion, bounds: tuple[float, float]) -> Estimate | None:
    """The statistic with its interval, which is Wilson's between the bounds (see `_wilson`).

    The standard error is that of questions, not of scores, which keeps turns, orders and judges of one question
    together (Miller 2024, "Adding Error Bars to Evals").

    Args:
        scores: see `ScoresByQuestion`.
        bounds: the lowest and highest possible score.

    Returns:
        None if there is no score at all.
    """
    table, count = _table(scores)
    return estimate_of_values(_linear(table, np.ones(1)), bounds, count) if count else None


def ratio_estimate(scores: ScoresByQuestion, bounds: tuple[float, float], even: float) -> Estimate | None:
    """A ratio of two sums of grades with Fieller's (1954) interval.

    It holds the ratios r for which Student's t finds the mean of (numerator - r denominator), one of each question, no
    other than 0. So it needs no end of the scale, knows that both sums vary, and is the same whichever is on top.

    Args:
        scores: see `ScoresByQuestion`; grades, not below 0.
        bounds: the lowest and highest possible ratio: the ends where the denominator can't be told from 0.
        even: the ratio of two that are alike, see `_ratio_without_variation`.

    Returns:
        None if there is no score at all, or all denominators are 0.
    """
    table, count = _table(scores)
    if not count or not table[:, 1].any():
        return None
    questions, mean = len(table), float(table[:, 0].sum() / table[:, 1].sum())
    if questions == 1:
        return Estimate(mean, None, None, None, count, 1)
    error = _error(_linear(table, np.ones(1)))
    low, high = _fieller(table, bounds) if error else _ratio_without_variation(mean, even, questions)
    return Estimate(mean, max(low, bounds[0]), min(high, bounds[1]), error, count, questions)


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
    return estimate_of_differences(_linear(table, np.array([1.0, -1.0])), count, (-width, width))


def estimate_of_values(values: Floats, bounds: tuple[float, float], count: int) -> Estimate:
    """The mean of one value a question, with Wilson's interval between the bounds.

    Args:
        values: whose mean is the statistic.
        bounds: of the statistic.
        count: scores that went in.
    """
    questions, mean = len(values), float(values.mean())
    if questions == 1:
        return Estimate(mean, None, None, None, count, 1)
    error = _error(values)
    low, high = _wilson(mean, error, bounds, questions) if error else _without_variation(mean, bounds, questions)
    return Estimate(mean, low, high, error, count, questions)


def estimate_of_differences(values: Floats, count: int, bounds: tuple[float, float]) -> tuple[Estimate, float | None]:
    """The mean of one difference a question, its interval, and the two-sided p-value of "the mean is 0".

    Interval and p-value are one test: 0 lies outside the interval exactly if p < 0.05. Up to `EXACT` questions it is
    Fisher's randomisation test, which flips the signs all ways or `FLIPS` of them and assumes nothing of the
    distribution but its symmetry; beyond, Student's t.

    Args:
        values: whose mean is the statistic; differences that could as well be the other way round if it were 0.
        count: scores that went in.
        bounds: of the statistic: the ends where the signs of a few questions flip too few ways to exclude anything.
    """
    questions, mean = len(values), float(values.mean())
    if questions == 1:
        return Estimate(mean, None, None, None, count, 1), None
    error = _error(values)
    if not error:
        p = 1.0 if mean == 0 else 2.0 ** (1 - questions)
        sure = p < 0.05  # of the sign, so that what was never seen goes no further than to 0
        ends = (max(bounds[0], 0.0), bounds[1]) if sure and mean > 0 else (bounds[0], 0.0) if sure else bounds
        low, high = _without_variation(mean, ends, questions)
    elif questions <= EXACT:
        low, high, p = _sign_flips(values)
    else:
        reach = float(stats.t.ppf(0.975, questions - 1)) * error
        low, high = mean - reach, mean + reach
        p = float(stats.ttest_1samp(values, 0.0).pvalue)
    return Estimate(mean, max(low, bounds[0]), min(high, bounds[1]), error, count, questions), p


def _error(values: Floats) -> float:
    """The standard error of the mean; exactly 0 for values that don't vary."""
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    return 0.0 if error < 1e-12 * max(1.0, abs(float(values.mean()))) else error


def _without_variation(mean: float, bounds: tuple[float, float], questions: int) -> tuple[float, float]:
    """No variation is no certainty.

    What was never seen in n questions is the case in at most 1 - 0.025^(1/n) of all (Clopper & Pearson 1934), and
    changes a score no further than to its bounds.
    """
    unseen = 1 - 0.025 ** (1 / questions)
    return mean - unseen * (mean - bounds[0]), mean + unseen * (bounds[1] - mean)


def _wilson(mean: float, error: float, bounds: tuple[float, float], questions: int) -> tuple[float, float]:
    """The interval of a mean between bounds, at a rare win as at an even one.

    Wilson's (1927) interval of a share, with the mean as share of the way between the bounds, as many trials as would
    have its standard error (Korn & Graubard 1998 do so for clustered samples), and Student's t for few questions.
    """
    low, width = bounds[0], bounds[1] - bounds[0]
    share = min(1.0, max(0.0, (mean - low) / width))
    trials = share * (1 - share) / (error / width) ** 2
    if not trials:  # at the bound, or beyond it as a linearised ratio may be
        return mean, mean
    reach = float(stats.t.ppf(0.975, questions - 1))
    middle = (share + reach**2 / (2 * trials)) / (1 + reach**2 / trials)
    half = reach * math.sqrt(share * (1 - share) / trials + reach**2 / (4 * trials**2)) / (1 + reach**2 / trials)
    return low + width * max(0.0, middle - half), low + width * min(1.0, middle + half)


def _fieller(table: Floats, bounds: tuple[float, float]) -> tuple[float, float]:
    """The ends of Fieller's interval: the roots of (a - r b)^2 = t^2 var(a - r b) / n, with the means a and b."""
    questions, (first, second) = len(table), table.mean(axis=0)
    spread = np.cov(table, rowvar=False) * float(stats.t.ppf(0.975, questions - 1)) ** 2 / questions
    square, middle, rest = second**2 - spread[1, 1], first * second - spread[0, 1], first**2 - spread[0, 0]
    if square <= 0:
        return bounds
    half = math.sqrt(max(0.0, middle**2 - square * rest))
    return float((middle - half) / square), float((middle + half) / square)


def _ratio_without_variation(ratio: float, even: float, questions: int) -> tuple[float, float]:
    """The interval of a ratio that is the same at every question.

    As in `_without_variation`, with the one or the other side getting nothing in what was never seen, and its rival the
    better of both grades. Where so many questions on one side of even settle which is better (their signs, p < 0.05),
    what was never seen is even at worst.
    """
    seen = 0.025 ** (1 / questions)
    lost = (1 - seen) * max(ratio, even)
    low, high = ratio * seen * even / (seen * even + lost), ratio + lost / seen
    if ratio != even and 2.0 ** (1 - questions) < 0.05:
        unseen_even = seen * ratio + (1 - seen) * even
        low, high = (unseen_even, high) if ratio > even else (low, unseen_even)
    return low, high


def _sign_flips(values: Floats) -> tuple[float, float, float]:
    """The ends of the means that the randomisation test does not reject at 5%, and its p-value for 0.

    If the mean were m, flipping the signs of (values - m) would be as likely. A flip's sum is as far from 0 as the one
    seen for all m above the mean of the flipped values or above that of the others (m below the mean seen), so that
    each flip has one threshold, and the interval ends where 5% of them are passed.
    """
    signs = _signs(len(values))
    flipped = signs < 0
    counts, total = flipped.sum(axis=1), float(values.sum())
    sums = flipped @ values
    with np.errstate(invalid="ignore", divide="ignore"):
        ours, others = sums / counts, (total - sums) / (len(values) - counts)
    lower, upper = np.fmin(ours, others), np.fmax(ours, others)
    none = (counts == 0) | (counts == len(values))  # nothing flipped, or all: as far as the one seen whatever m
    lower[none], upper[none] = -np.inf, np.inf
    seen = 0 if len(signs) == 2 ** len(values) else 1  # the values as they are, where flips are drawn
    slack = 1e-9 * float(np.abs(values).max())  # ends at 0 but for rounding are at 0
    lower[np.abs(lower) <= slack] = upper[np.abs(upper) <= slack] = 0.0
    at_least = (lower <= 0) & (upper >= 0)
    p = float((at_least.sum() + seen) / (len(signs) + seen))
    # With so many flips as extreme as what was seen, p is 5%.
    needed = math.ceil(0.05 * (len(signs) + seen) - 1e-9) - seen
    low, high = (float(np.partition(ends, needed - 1)[needed - 1]) for ends in (lower, -upper))
    return low, -high, p


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) correction: the chance of any false finding among all of them stays below the level."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        adjusted[place] = highest
    return adjusted


def planned_questions(gap: float, error: float | None, questions: int) -> int | None:
    """How many questions would find a gap chosen beforehand 80% of the time, to two digits; None if it isn't known.

    For a two-sided test at 5%: n = ((z_0.975 + z_0.8) sd / gap)^2 (Cohen 1988, "Statistical Power Analysis", chapter 2,
    by the normal approximation). Not for the gap that was seen: that says nothing which its p-value does not (Hoenig &
    Heisey 2001, "The Abuse of Power").

    Args:
        gap: the difference that would matter.
        error: the standard error of a difference seen.
        questions: from so many questions.
    """
    if not error:
        return None
    return _two_digits((_REACH * error / gap) ** 2 * questions)


def detectable_gap(error: float | None) -> float | None:
    """The gap that as many questions as there are find 80% of the time; None if it isn't known."""
    return _REACH * error if error is not None else None


_REACH = float(stats.norm.ppf(0.975) + stats.norm.ppf(0.8))


def _two_digits(value: float) -> int:
    """Rounded up to two digits that count."""
    unit = 10 ** max(0, math.floor(math.log10(value)) - 1) if value >= 1 else 1
    return max(2, math.ceil(value / unit) * unit)


def _table(scores: ScoresByQuestion) -> tuple[Floats, int]:
    """A row for each question that has scores, its sum of numerators and of denominators; and how many scores."""
    kept = [values for values in scores.values() if len(values)]
    return np.array([_sums(values) for values in kept]), sum(map(len, kept))


def _sums(scores: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return math.fsum(score[0] for score in scores), math.fsum(score[1] for score in scores)


def _linear(table: Floats, weights: Floats) -> Floats:
    """For each row its share in the statistic, by linearisation; their mean is the statistic."""
    numerators, denominators = table[:, 0::2], table[:, 1::2]
    ratios = numerators.sum(axis=0) / denominators.sum(axis=0)
    shares: Floats = ((numerators - ratios * denominators) / denominators.mean(axis=0) + ratios) @ weights
    return shares


@lru_cache(maxsize=4)
def _signs(questions: int) -> Floats:
    if 2**questions <= FLIPS:
        bits = (np.arange(2**questions)[:, None] >> np.arange(questions)) & 1
    else:
        bits = np.random.default_rng(SEED).integers(0, 2, size=(FLIPS, questions))
    return np.where(bits == 1, -1.0, 1.0)
