"""Whether a policy goes on to please its reward while what is wanted gets worse (Gao et al. 2023)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

NORMAL = 1.96  # standard errors of a 95% interval


def overrated_line(evaluations: Sequence[Mapping[str, Any]]) -> str | None:
    """What to say of the last evaluation if the reward is over-optimised by then, else None.

    That is, if since the one with the best gold reward the reward has risen and gold fallen, each by more than chance:
    the 95% intervals of the mean differences over the same prompts do not reach 0.

    Args:
        evaluations: lines of `validation.jsonl` with `each_reward` and `each_gold`, in order.
    """
    if len(evaluations) < 2:
        return None
    *before, now = evaluations
    best = max(before, key=lambda line: float(line["gold"]))
    gained, reward_error = _difference(now["each_reward"], best["each_reward"])
    lost, gold_error = _difference(now["each_gold"], best["each_gold"])
    if gained - NORMAL * reward_error <= 0 or lost + NORMAL * gold_error >= 0:
        return None
    return (
        f"update {now['update']}: since update {best['update']} the reward of held-out answers rose by {gained:.3g} "
        f"+- {NORMAL * reward_error:.2g} while gold fell by {-lost:.3g} +- {NORMAL * gold_error:.2g}: the reward is "
        "over-optimised; raise ppo.beta, set ppo.target_kl, or keep an earlier checkpoint"
    )


def _difference(now: Sequence[float], then: Sequence[float]) -> tuple[float, float]:
    """Mean difference over the same prompts, and its standard error."""
    apart = np.array(now, dtype=np.float64) - np.array(then, dtype=np.float64)
    return float(apart.mean()), float(apart.std(ddof=1) / math.sqrt(apart.size)) if apart.size > 1 else math.inf
