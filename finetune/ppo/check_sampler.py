"""Whether the sampler writes what the policy would: its log-probabilities, and how surprising its tokens are."""

import math
from dataclasses import asdict, dataclass

import numpy as np

from camelid.errors import UserError
from finetune.objectives.advantages import Doubles

# Mean nats a token by which a sampler's log-probabilities may differ from ours, by precision: rounding alone makes
# about 1e-6 of it in float32 and 0.01 in bfloat16.
MOST_APART = {"fp32": 1e-4, "bf16": 0.05, "bf16-pure": 0.05}
# Tokens drawn from the policy are as surprising as its entropy says, on average. A mean that is off by more than this
# share of the entropy and by so many standard errors (once in 5e8 iterations by chance) is another distribution's.
SHARE, ERRORS = 0.01, 6.0


@dataclass
class SamplerTally:
    """Sums over all tokens sampled in a run, which a checkpoint keeps.

    Attributes:
        tokens: how many.
        surprise: of -log p less the entropy, nats.
        entropy: nats.
        variance: of log p.
    """

    tokens: float = 0.0
    surprise: float = 0.0
    entropy: float = 0.0
    variance: float = 0.0

    def add(self, log_probs_N: Doubles, entropy_N: Doubles, variance_N: Doubles) -> None:
        """Count the tokens of an iteration, with what the policy says of each."""
        self.tokens += log_probs_N.size
        self.surprise += float((-log_probs_N - entropy_N).sum())
        self.entropy += float(entropy_N.sum())
        self.variance += float(variance_N.sum())

    def to_json(self) -> dict[str, float]:
        return asdict(self)

    @property
    def off(self) -> float:
        """Share of the entropy by which the tokens are more surprising than they should be."""
        return self.surprise / self.entropy if self.entropy else 0.0

    @property
    def errors(self) -> float:
        """The same in standard errors."""
        return self.surprise / math.sqrt(self.variance) if self.variance > 0 else 0.0


def require_same_policy(
    iteration: int, sampled_N: Doubles, log_probs_N: Doubles, tally: SamplerTally, precision: str
) -> float:
    """Stop a run whose sampler is not its policy.

    Args:
        iteration: from 0.
        sampled_N: log-probability of each token by the sampler.
        log_probs_N: the same by our forward pass.
        tally: with these tokens counted.
        precision: of the run.

    Returns:
        Mean nats a token between the two.

    Raises:
        UserError: they differ by more than rounding does, or the tokens are not drawn from these probabilities.
    """
    means = "the answers are not the policy's, so nothing was learned from them"
    apart = _require_near(sampled_N, log_probs_N, precision, f"iteration {iteration + 1}: the sampler", means)
    if abs(tally.errors) > ERRORS and abs(tally.off) > SHARE:
        raise UserError(
            f"iteration {iteration + 1}: the sampled tokens are {tally.off:+.1%} as surprising as the policy's "
            f"probabilities say ({tally.errors:+.1f} standard errors): another temperature, or only part of the "
            f"vocabulary; {means}"
        )
    return apart


@dataclass(frozen=True)
class Probes:
    """What is said of the tokens of the same prompts after each reload of an outside sampler's weights.

    Attributes:
        ours: (N,) log-probability of each token by the policy, nats.
        theirs: (N,) the same by the sampler.
    """

    ours: Doubles
    theirs: Doubles


def require_reloaded(now: Probes, before: Probes | None, precision: str, who: str) -> None:
    """Stop a run whose outside sampler has not taken over the policy's weights.

    In bfloat16 the updates of one iteration may move a token's log-probability by less than rounding does. Over all
    tokens they still show: what the sampler says must have moved as the policy has, by a slope of 1. One that keeps its
    weights has a slope of 0, and is known by a slope that is below 1/2 by `ERRORS` standard errors.

    Args:
        now: after the reload.
        before: after the one before; None if there was none.
        precision: of the run.
        who: names the sampler in the error.

    Raises:
        UserError: the two differ by more than rounding does, or the sampler has not moved as the policy has.
    """
    _require_near(
        now.theirs,
        now.ours,
        precision,
        f"{who}: after a reload of its weights the sampler",
        "it is asked for no answers",
    )
    if before is None:
        return
    ours, theirs = now.ours - before.ours, now.theirs - before.theirs
    moved = float(ours @ ours)
    if not moved:
        return
    slope = float(ours @ theirs) / moved
    error = float(np.std(theirs - slope * ours)) / math.sqrt(moved)
    if slope + ERRORS * error < 0.5:
        raise UserError(
            f"{who}: the policy has moved since the last reload, and the sampler by {slope:.0%} of that: it still has "
            "the weights of before"
        )


def _require_near(sampled_N: Doubles, log_probs_N: Doubles, precision: str, who: str, means: str) -> float:
    """Mean nats a token between the two.

    Raises:
        UserError: that is more than rounding makes.
    """
    apart = float(np.abs(sampled_N - log_probs_N).mean())
    if not apart <= MOST_APART[precision]:
        raise UserError(
            f"{who}'s log-probabilities are {apart:.2g} nats a token from the policy's (at most "
            f"{MOST_APART[precision]:g} with run.precision = {precision}): its weights are old or others; {means}"
        )
    return apart
