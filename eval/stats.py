"""Means with 95% intervals that respect that turns of one question belong together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
SEED = 0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its 95% interval.

    Attributes:
        mean: the mean of all scores.
        low, high: the 2.5th and 97.5th percentile of the bootstrap distribution.
        count: scores that went in.
    """

    mean: float
    low: float
    high: float
    count: int


def estimate(scores: Mapping[str, Sequence[float]]) -> Estimate | None:
    """Bootstrap the mean, resampling whole questions (percentile method: Efron & Tibshirani 1993, "An
    Introduction to the Bootstrap", chapter 13; questions as clusters: Miller 2024, "Adding Error Bars to Evals").

    Args:
        scores: for each question, its scores (one a turn).

    Returns:
        None if there is no score at all.
    """
    kept = [np.asarray(values, dtype=float) for values in scores.values() if len(values)]
    if not kept:
        return None
    sums, counts = np.array([values.sum() for values in kept]), np.array([values.size for values in kept])
    draws = np.random.default_rng(SEED).multinomial(len(kept), np.full(len(kept), 1 / len(kept)), size=RESAMPLES)
    means = (draws @ sums) / (draws @ counts)
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(sums.sum() / counts.sum()), float(low), float(high), int(counts.sum()))


def difference(first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]) -> Estimate | None:
    """Estimate the mean of first - second over the questions that both have scores for, paired by question."""
    both = [name for name in first if len(first[name]) and len(second.get(name, ()))]
    pairs = {name: [float(np.mean(first[name]) - np.mean(second[name]))] for name in both}
    return estimate(pairs)
