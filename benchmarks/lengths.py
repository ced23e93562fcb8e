"""Lengths of training documents in tokens, drawn with the shapes of the two kinds of data."""

import numpy as np

CAPACITY = 2048  # both Vicuna's limit and the row that documents are packed into


def sharegpt_like(count: int, random: np.random.Generator) -> np.ndarray:
    """Chats cut at 2048 tokens: log-normal with a median of about 300, a mean of about 490, 4% at the limit."""
    return np.clip(random.lognormal(5.7, 1.1, count), 4, CAPACITY).astype(np.int64)


def alpaca_like(count: int, random: np.random.Generator) -> np.ndarray:
    """Instructions: log-normal with a median of about 95, a mean of about 107, at most 512."""
    return np.clip(random.lognormal(4.55, 0.5, count), 40, 512).astype(np.int64)
