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
    apart = float(np.abs(sampled_N - log_probs_N).mean())
    means = "the answers are not the policy's, so nothing was learned from them"
    if not apart <= MOST_APART[precision]:
        raise UserError(
            f"iteration {iteration + 1}: the sampler's log-probabilities are {apart:.2g} nats a token from the "
            f"policy's (at most {MOST_APART[precision]:g} with run.precision = {precision}): its weights are old or "
            f"others; {means}"
        )
    if abs(tally.errors) > ERRORS and abs(tally.off) > SHARE:
        raise UserError(
            f"iteration {iteration + 1}: the sampled tokens are {tally.off:+.1%} as surprising as the policy's "
            f"probabilities say ({tally.errors:+.1f} standard errors): another temperature, or only part of the "
            f"vocabulary; {means}"
        )
    return apart
