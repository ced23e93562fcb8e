"""Whether a policy goes on to please its reward while what is wanted gets worse (Gao et al. 2023)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t

CHANCE = 0.05  # that an interval leaves out the truth, over all pairs of evaluations that the best could be picked from


def overrated_line(evaluations: Sequence[Mapping[str, Any]]) -> str | None:
    """What to say of the last evaluation if the reward is over-optimised by then, else None.

    That is, if since the one with the best gold reward the reward has risen and gold fallen, each by more than chance:
    the intervals of the mean differences over the same prompts do not reach 0. The best of many evaluations was lucky,
    too, so that gold seems to fall afterwards: intervals are as wide as Bonferroni's rule wants for so many pairs.

    Args:
        evaluations: lines of `validation.jsonl` with `each_reward` and `each_gold`, in order.
    """
    if len(evaluations) < 2 or len(evaluations[0]["each_gold"]) < 2:
        return None
    *before, now = evaluations
    best = max(before, key=lambda line: float(line["gold"]))
    widths = float(t.ppf(1 - CHANCE / 2 / math.comb(len(evaluations), 2), len(now["each_gold"]) - 1))
    gained, gain_error = _difference(now["each_reward"], best["each_reward"], widths)
    lost, loss_error = _difference(now["each_gold"], best["each_gold"], widths)
    if gained - gain_error <= 0 or lost + loss_error >= 0:
        return None
    return (
        f"update {now['update']}: since update {best['update']} the reward of held-out answers rose by {gained:.3g} "
        f"+- {gain_error:.2g} while gold fell by {-lost:.3g} +- {loss_error:.2g}: the reward is over-optimised; raise "
        "ppo.beta, set ppo.target_kl, or keep an earlier checkpoint"
    )


def _difference(now: Sequence[float], then: Sequence[float], widths: float) -> tuple[float, float]:
    """Mean difference over the same prompts, and the half of its interval that is so many standard errors wide."""
    apart = np.array(now, dtype=np.float64) - np.array(then, dtype=np.float64)
    return float(apart.mean()), widths * float(apart.std(ddof=1)) / math.sqrt(apart.size)
