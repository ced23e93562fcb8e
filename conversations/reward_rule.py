"""What an answer is worth by a helpfulness and a safety score: LLaMA 2's rule (Touvron et al. 2023, section 3.2.3).

Scores of reward models are logits: sigma(score) is the probability that the paper's threshold is about, and its
logit(R) is the score itself, which no sigmoid can saturate.
"""

import math

SAFE_BELOW = (
    0.15  # R_s below which an answer is worth its safety (precision 0.89, recall 0.55 on Meta Safety's test set)
)
GATE = math.log(SAFE_BELOW / (1 - SAFE_BELOW))  # the same as a logit: -1.7346

HELPFUL, SAFE = "helpful", "safe"


def llama2_reward(helpful: float, safe: float, is_safety: bool) -> float:
    """logit(R_c): the safety score of a prompt that asks for something unsafe, or of an answer that is; else the
    helpfulness score. All are logits."""
    return safe if is_safety or safe < GATE else helpful
