"""Advantages against their formulas, written out term by term, and whitening against exact fractions."""

import numpy as np
import pytest

from finetune.objectives.advantages import (
    answer_rewards,
    generalised_advantages,
    group_relative,
    leave_one_out,
    token_rewards,
    whiten,
)

LENGTHS = np.array([5, 1, 12, 3])


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(1.0, 0.95), (0.9, 0.8), (1.0, 1.0), (0.97, 0.0)])
def test_generalised_advantages_are_the_sum_of_all_surprises(gamma: float, gae_lambda: float) -> None:
    """Schulman et al. 2016, equation 16, as it stands there."""
    random = np.random.default_rng(1)
    rewards, values = random.normal(size=21), random.normal(size=21)
    advantages, returns = generalised_advantages(rewards, values, LENGTHS, gamma, gae_lambda)
    start = 0
    for length in LENGTHS:
        for place in range(length):
            total = 0.0
            for later in range(place, length):
                after = values[start + later + 1] if later + 1 < length else 0.0
                surprise = rewards[start + later] + gamma * after - values[start + later]
                total += (gamma * gae_lambda) ** (later - place) * surprise
            assert advantages[start + place] == pytest.approx(total, rel=1e-12, abs=1e-12)
            assert returns[start + place] == pytest.approx(total + values[start + place], rel=1e-12, abs=1e-12)
        start += length


def test_a_reward_is_the_score_less_what_leaving_the_start_costs() -> None:
    random = np.random.default_rng(2)
    scores, apart = random.normal(size=4), random.normal(size=21)
    tokens, answers = token_rewards(scores, apart, 0.3, LENGTHS), answer_rewards(scores, apart, 0.3, LENGTHS)
    start = 0
    for number, length in enumerate(LENGTHS):
        own = apart[start : start + length]
        assert np.allclose(tokens[start : start + length - 1], -0.3 * own[:-1], rtol=0, atol=1e-15)
        assert tokens[start + length - 1] == pytest.approx(scores[number] - 0.3 * own[-1])
        assert answers[number] == pytest.approx(scores[number] - 0.3 * own.sum())
        start += length


def test_others_and_groups() -> None:
    rewards = np.random.default_rng(3).normal(5.0, 2.0, 24)
    ours, groups = leave_one_out(rewards, 4), group_relative(rewards, 4)
    for number, reward in enumerate(rewards):
        group = rewards[number // 4 * 4 : number // 4 * 4 + 4]
        others = [other for place, other in enumerate(group) if place != number % 4]
        assert ours[number] == pytest.approx(reward - sum(others) / 3, rel=1e-12)
        mean = sum(group) / 4
        deviation = (sum((other - mean) ** 2 for other in group) / 3) ** 0.5
        assert groups[number] == pytest.approx((reward - mean) / deviation, rel=1e-12)
    assert (group_relative(np.array([0.1] * 3 + [1.0, 0.0, 0.0]), 3)[:3] == 0).all()  # no answer is the better one


def test_whitening() -> None:
    """Mean 0 and deviation 1 to 1e-6 of scores up to +-40; a dead reward stays 0 instead of noise."""
    scores = np.concatenate([np.random.default_rng(4).normal(size=500), [40.0, -40.0]])
    white = whiten(scores)
    assert abs(white.mean()) < 1e-6 and abs(white.std() - 1) < 1e-6
    assert (white[-2] - white[-1]) / (white[0] - white[1]) == pytest.approx(80 / (scores[0] - scores[1]))  # no sigmoid
    assert (np.argsort(white) == np.argsort(scores)).all()
    assert (whiten(np.full(64, 0.1)) == 0).all() and (whiten(np.zeros(3)) == 0).all()
