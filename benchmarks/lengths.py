"""Lengths of training documents in tokens, with the shapes of the two kinds of data."""

from statistics import NormalDist

import numpy as np

CAPACITY = 2048  # both Vicuna's limit and the row that documents are packed into


def sharegpt_like(count: int) -> np.ndarray:
    """Chats cut at 2048 tokens: log-normal with a median of 300, a mean of about 490, 4% at the limit."""
    return np.clip(_log_normal(5.7, 1.1, count), 4, CAPACITY).astype(np.int64)


def alpaca_like(count: int) -> np.ndarray:
    """Instructions: log-normal with a median of 95, a mean of about 107, at most 512."""
    return np.clip(_log_normal(4.55, 0.5, count), 40, 512).astype(np.int64)


def _log_normal(mean: float, deviation: float, count: int) -> np.ndarray:
    """Evenly spaced quantiles in a shuffled order, so that a small sample has the shape's mean and tail, too."""
    normal = NormalDist(mean, deviation)
    quantiles = np.exp([normal.inv_cdf((number + 0.5) / count) for number in range(count)])
    return np.random.default_rng(0).permutation(quantiles)
