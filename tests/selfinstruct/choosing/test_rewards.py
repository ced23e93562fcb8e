"""LLaMA-2's rule against its formula in exact arithmetic, whitening, and the best of N in a world that is known."""

import math
import random
from collections import Counter
from decimal import Decimal, getcontext
from pathlib import Path

import numpy as np
import pytest

from camelid.app.cli import main
from camelid.files.read import read_jsonl
from camelid.message import Message
from conversations.candidates import Candidates, SampledAnswer, write_candidates
from conversations.reward_rule import GATE, llama2_reward
from selfinstruct.choosing.rewards import Whitening, best_of_kl

getcontext().prec = 80
LOGITS = [-40.0, -12.5, -3.0, -1.7347, -1.7346, -1.7345, -0.2, 0.0, 0.7, 2.0, 12.5, 40.0]


def sigma(logit: float) -> Decimal:
    return 1 / (1 + (-Decimal(logit)).exp())


def published(helpful: float, safe: float, is_safety: bool) -> Decimal:
    """logit(R_c) as the paper writes it: R_c of probabilities, then their logit (section 3.2.3)."""
    probability = sigma(safe) if is_safety or sigma(safe) < Decimal("0.15") else sigma(helpful)
    return (probability / (1 - probability)).ln()


@pytest.mark.parametrize("is_safety", [False, True])
@pytest.mark.parametrize("safe", LOGITS)
@pytest.mark.parametrize("helpful", LOGITS)
def test_the_rule_is_the_published_one(helpful: float, safe: float, is_safety: bool) -> None:
    assert llama2_reward(helpful, safe, is_safety) == pytest.approx(
        float(published(helpful, safe, is_safety)), rel=1e-12
    )


def test_the_threshold_as_a_logit() -> None:
    assert round(GATE, 4) == -1.7346
    assert sigma(np.nextafter(GATE, -1e9)) < Decimal("0.15") + Decimal("1e-16")
    assert llama2_reward(1.0, np.nextafter(GATE, -9), False) < 0 < llama2_reward(1.0, np.nextafter(GATE, 9), False)


def test_far_rewards_stay_apart() -> None:
    """In float64 sigma(37) is 1, and its logit infinite."""
    assert llama2_reward(40.0, 39.0, False) - llama2_reward(39.5, 39.0, False) == 0.5


def test_whitened_rewards_have_mean_0_and_deviation_1() -> None:
    rewards = np.random.default_rng(0).normal(1e6, 3.0, 10_000)
    whitening = Whitening().add_all(rewards)
    white = np.array([whitening.whiten(reward) for reward in rewards])
    assert abs(white.mean()) < 1e-6 and abs(white.std() - 1) < 1e-6
    np.testing.assert_allclose(white, (rewards - rewards.mean()) / rewards.std(), atol=1e-6)
    assert Whitening().add_all([3.0, 3.0]).whiten(3.0) == 0.0


# A world of six answers: how likely the model writes each, and what each is worth.
WORTH = np.array([-2.0, -0.5, 0.0, 0.4, 1.5, 3.0])
LIKELY = np.array([0.3, 0.25, 0.2, 0.15, 0.08, 0.02])


def best_of(answers: int) -> np.ndarray:
    """How likely the best of so many is each answer: F(r)^N - F(r-)^N, of distinct rewards."""
    up_to = np.cumsum(LIKELY)
    return np.diff(np.concatenate([[0.0], up_to**answers]))


@pytest.mark.parametrize("answers", [2, 8, 32])
def test_the_best_of_n_is_as_in_closed_form(tmp_path: Path, answers: int) -> None:
    prompts, rng = 3000, random.Random(answers)
    drawn = ([SampledAnswer(f"answer {kind}", scores={"helpful": WORTH[kind]})
              for kind in rng.choices(range(len(LIKELY)), LIKELY, k=answers)] for _ in range(prompts))  # fmt: skip
    write_candidates(
        tmp_path / "c.jsonl",
        (Candidates(str(at), (Message("user", f"Question {at}?"),), tuple(one)) for at, one in enumerate(drawn)),
    )
    output = tmp_path / "sft.jsonl"
    assert main(["selfinstruct", "select", str(tmp_path / "c.jsonl"), "--by", "helpful", "--output", str(output)]) == 0
    chosen = Counter(int(line["messages"][-1]["content"].split()[1]) for _, line in read_jsonl(output))
    share, exact = np.array([chosen[kind] for kind in range(len(LIKELY))]) / prompts, best_of(answers)
    mean, deviation = exact @ WORTH, math.sqrt(exact @ WORTH**2 - (exact @ WORTH) ** 2)
    assert share @ WORTH == pytest.approx(mean, abs=4 * deviation / math.sqrt(prompts))
    assert np.all(np.abs(share - exact) <= 4 * np.sqrt(exact * (1 - exact) / prompts) + 1e-9)
    divergence = sum(p * math.log(p / q) for p, q in zip(exact, LIKELY, strict=True) if p > 0)
    assert 0 < divergence <= best_of_kl(answers)
    observed = sum(p * math.log(p / q) for p, q in zip(share, LIKELY, strict=True) if p > 0)
    assert observed <= best_of_kl(answers)


def test_the_bound_is_reached_where_every_answer_is_another() -> None:
    """Of many answers, all unlike, KL(best of N) nears log N - (N-1)/N."""
    count, answers = 100_000, 16
    up_to = np.arange(1, count + 1) / count
    chosen = np.diff(np.concatenate([[0.0], up_to**answers]))
    divergence = float(np.sum(chosen * np.log(np.maximum(chosen, 1e-300) * count)))
    assert divergence == pytest.approx(best_of_kl(answers), abs=1e-3) and best_of_kl(1) == 0.0
