"""How strongly the policy is held to its start, where it is to be so many nats away from it."""

GAIN, MOST = 0.1, 0.2  # of the controller (Ziegler et al. 2019, section 2.2)


def next_beta(beta: float, kl: float, target: float | None) -> float:
    """The cost of a nat in the next iteration: more if the policy is further away than it is to be, else less.

    Args:
        beta: in this iteration.
        kl: nats an answer that the policy was away from its start.
        target: that it is to be; None leaves beta alone.
    """
    if target is None:
        return beta
    error = min(MOST, max(-MOST, kl / target - 1))
    return beta * (1 + GAIN * error)
