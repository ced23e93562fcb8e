"""The learning rate as a function of the update number."""

import math
from typing import Literal


def learning_rate(
    update: int, updates: int, peak: float, warmup_ratio: float, shape: Literal["cosine", "linear", "constant"]
) -> float:
    """Learning rate of one update.

    Linear warm-up over `ceil(warmup_ratio * updates)` updates, then the shape down to 0, as transformers'
    `get_cosine_schedule_with_warmup` and `get_linear_schedule_with_warmup` (which Alpaca and FastChat use).

    Args:
        update: 0-based number of the update.
        updates: updates of the whole run.
        peak: the recipe's `optim.lr`.
        warmup_ratio: share of all updates spent warming up.
        shape: what follows.
    """
    warmup = math.ceil(warmup_ratio * updates)
    if update < warmup:
        return peak * update / warmup
    if shape == "constant":
        return peak
    done = (update - warmup) / max(1, updates - warmup)
    return peak * (0.5 * (1 + math.cos(math.pi * done)) if shape == "cosine" else 1 - done)
