"""How far two judges, or several, say the same. Each statistic is None where it isn't defined."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from eval.numbers.stats import Floats


def cohen_kappa(first: Sequence[float], second: Sequence[float], quadratic: bool = False) -> float | None:
    """Cohen's kappa (1960), or with quadratic weights (1968), over the categories that occur in either.

    Args:
        first, second: what two judges said of the same things.
        quadratic: near misses count less, by the squared distance of the categories' ranks.
    """
    names, codes = np.unique([*first, *second], return_inverse=True)
    size, one, two = len(names), codes[: len(first)], codes[len(first) :]
    if size < 2:
        return None
    seen = np.zeros((size, size))
    np.add.at(seen, (one, two), 1.0)
    expected = np.outer(seen.sum(axis=1), seen.sum(axis=0)) / seen.sum()
    ranks = np.arange(size)
    weights = (ranks[:, None] - ranks) ** 2 if quadratic else ranks[:, None] != ranks
    by_chance = float((weights * expected).sum())
    return 1 - float((weights * seen).sum()) / by_chance if by_chance else None


def krippendorff_alpha(table: Sequence[Sequence[float]]) -> float | None:
    """Krippendorff's alpha for the interval scale ("Content Analysis", 2004, chapter 11).

    Args:
        table: (judges, things) with NaN where a judge said nothing. Things that fewer than two judged don't count.
    """
    said: Floats = np.array(table, dtype=float)
    counts = (~np.isnan(said)).sum(axis=0)
    said, counts = said[:, counts >= 2], counts[counts >= 2]
    values = said[~np.isnan(said)]
    if len(values) < 2 or np.ptp(values) == 0:
        return None
    # The mean squared distance of pairs is twice the variance: within things (observed) and among all (by chance).
    within = (np.nanvar(said, axis=0) * counts**2 / (counts - 1)).sum() / counts.sum()
    among = values.var() * len(values) / (len(values) - 1)
    return 1 - float(within / among)


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Kendall's tau-b (1945)."""
    return _none_if_nan(stats.kendalltau(first, second).statistic) if _varies(first, second) else None


def pearson(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Pearson's correlation."""
    return _none_if_nan(stats.pearsonr(first, second).statistic) if _varies(first, second) else None


def _varies(first: Sequence[float], second: Sequence[float]) -> bool:
    return len(first) >= 2 and np.ptp(first) > 0 and np.ptp(second) > 0


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
