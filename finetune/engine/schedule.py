"""The learning rate as a function of the update number."""

import math
from typing import Literal


def learning_rate(
    update: int,
    updates: int,
    peak: float,
    warmup_ratio: float,
    shape: Literal["cosine", "linear", "constant"],
    final_lr: float = 0.0,
    least_warmup: int = 0,
) -> float:
    """Learning rate of one update.

    Linear warm-up over `ceil(warmup_ratio * updates)` updates, then the shape down to `final_lr` of the peak, which
    would be reached one update after the last. As transformers' `get_cosine_schedule_with_warmup` and
    `get_linear_schedule_with_warmup` (which Alpaca and FastChat use), whose curves end at 0.

    Args:
        update: 0-based number of the update.
        updates: updates of the whole run.
        peak: the recipe's `optim.lr`.
        warmup_ratio: share of all updates spent warming up.
        shape: what follows.
        final_lr: share of the peak where the shape ends.
        least_warmup: updates that warm up at the least, however few all of them are (LLaMA 2's reward models: 5).
    """
    warmup = max(math.ceil(warmup_ratio * updates), least_warmup)
    if update < warmup:
        return peak * update / warmup
    if shape == "constant":
        return peak
    done = (update - warmup) / max(1, updates - warmup)
    left = 0.5 * (1 + math.cos(math.pi * done)) if shape == "cosine" else 1 - done
    return peak * (final_lr + (1 - final_lr) * left)
