"""From rewards to advantages: how much better an answer, or a token of it, was than what was to be expected.

Shapes: A answers, N tokens of all answers back to back, K answers to a prompt, whose answers follow each other.
"""

import numpy as np
import numpy.typing as npt

from finetune.data.packing import Ints

Doubles = npt.NDArray[np.float64]


def token_rewards(scores_A: Doubles, apart_N: Doubles, beta: float, lengths_A: Ints) -> Doubles:
    """(N,) the reward of each token: what it costs to leave the reference; of an answer's last token its score, too.

    Args:
        scores_A: what each answer is worth.
        apart_N: log-probability of each token by the policy less that by the reference, nats.
        beta: cost of a nat (Stiennon et al. 2020, equation 2).
        lengths_A: tokens of each answer, at least 1.
    """
    rewards_N = -beta * apart_N
    rewards_N[lengths_A.cumsum() - 1] += scores_A
    return rewards_N


def answer_rewards(scores_A: Doubles, apart_N: Doubles, beta: float, lengths_A: Ints) -> Doubles:
    """(A,) the reward of each answer, taken as a whole: the sum of its `token_rewards`."""
    return np.asarray(
        np.add.reduceat(token_rewards(scores_A, apart_N, beta, lengths_A), lengths_A.cumsum() - lengths_A)
    )


def generalised_advantages(
    rewards_N: Doubles, values_N: Doubles, lengths_A: Ints, gamma: float, gae_lambda: float
) -> tuple[Doubles, Doubles]:
    """Generalised advantage estimates (Schulman et al. 2016, equation 16); an answer's end is worth nothing more.

    Args:
        rewards_N: of each token.
        values_N: what the critic expects before each token.
        lengths_A: tokens of each answer.
        gamma, gae_lambda: see `PpoSection.gae`.

    Returns:
        (N,) advantages, and (N,) returns, which the critic should have expected.
    """
    starts_A = lengths_A.cumsum() - lengths_A
    advantages_N, after_A, value_A = np.zeros_like(rewards_N), np.zeros(lengths_A.size), np.zeros(lengths_A.size)
    for back in range(1, int(lengths_A.max(initial=0)) + 1):  # the last token of every answer, the one before, ...
        has = lengths_A >= back
        place = starts_A[has] + lengths_A[has] - back
        surprise = rewards_N[place] + gamma * value_A[has] - values_N[place]
        advantages_N[place] = after_A[has] = surprise + gamma * gae_lambda * after_A[has]
        value_A[has] = values_N[place]
    return advantages_N, advantages_N + values_N


def leave_one_out(rewards_A: Doubles, answers: int) -> Doubles:
    """(A,) each reward less the mean of the prompt's other answers (Kool et al. 2019; Ahmadian et al. 2024, RLOO)."""
    rewards_PK = rewards_A.reshape(-1, answers)
    others_PK = (rewards_PK.sum(1, keepdims=True) - rewards_PK) / (answers - 1)
    return np.asarray((rewards_PK - others_PK).reshape(-1))


def group_relative(rewards_A: Doubles, answers: int) -> Doubles:
    """(A,) each reward less the mean of all answers to the prompt, over their deviation (Shao et al. 2024, 4.1.2).

    The deviation is the sample's, as in TRL and verl; where all answers are worth the same, none is better: 0.
    """
    rewards_PK = rewards_A.reshape(-1, answers)
    apart_PK = rewards_PK - rewards_PK.mean(1, keepdims=True)
    deviation_P1 = rewards_PK.std(1, ddof=1, keepdims=True)
    alike_P1 = deviation_P1 <= 1e-12 * np.abs(rewards_PK).max(1, keepdims=True)
    return np.asarray(np.where(alike_P1, 0.0, apart_PK / np.where(alike_P1, 1.0, deviation_P1)).reshape(-1))


def whiten(values: Doubles) -> Doubles:
    """The same with mean 0 and deviation 1; all 0 where they are all alike."""
    apart = values - values.mean()
    deviation = float(apart.std())
    return apart / deviation if deviation > 1e-12 * float(np.abs(values).max(initial=0.0)) else np.zeros_like(values)
