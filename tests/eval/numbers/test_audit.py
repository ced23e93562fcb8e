"""Planted biases are found at their size, and none where there is none."""

from collections.abc import Callable

import numpy as np
import pytest

from eval.judging.judgments import Judgment
from eval.numbers import audit
from eval.numbers.outcomes import outcomes
from eval.results import Bias

QUESTIONS, LABELS = 2000, ("a", "b")


def judged(
    rng: np.random.Generator,
    judge: str = "j",
    first: float = 0.0,
    longer: float = 0.0,
    own: float = 0.0,
    seed: int = 0,
    questions: int = QUESTIONS,
) -> tuple[list[Judgment], dict[tuple[str, str, int], int]]:
    """Judgments of a (mostly shorter, a little better) and b; the arguments are planted biases as probabilities.

    Both judges of a panel see the same answers: quality and length come from `seed`.
    """
    world = np.random.default_rng(seed)
    quality = np.clip(world.normal(0.53, 0.06, questions), 0.3, 0.7)
    sizes = {
        (label, str(q), 1): int(world.integers(400 + 300 * place, 1400))
        for q in range(questions)
        for place, label in enumerate(LABELS)
    }
    made = []
    for q in range(questions):
        sign = np.sign(sizes["a", str(q), 1] - sizes["b", str(q), 1])
        for models, shown in ((LABELS, 1), (LABELS[::-1], -1)):
            chance = quality[q] + longer * sign + first * shown + own
            a = float(rng.random() < chance)
            scores = (a, 1 - a) if shown == 1 else (1 - a, a)
            made.append(Judgment("pairwise", str(q), 1, models, judge, scores, ""))
    return made, sizes


def position(rng: np.random.Generator, planted: float, seed: int) -> Bias:
    return audit.position_bias(judged(rng, first=planted, seed=seed)[0])


def length(rng: np.random.Generator, planted: float, seed: int) -> Bias:
    judgments, sizes = judged(rng, longer=planted, seed=seed)
    return audit.length_bias(outcomes(judgments), sizes)


def preference(rng: np.random.Generator, planted: float, seed: int) -> Bias:
    """Judge a-2024 is asked about its own answers; two others set the measure."""
    found = judged(rng, "a-2024", own=planted, seed=seed)[0]
    found += judged(rng, "x", seed=seed)[0] + judged(rng, "y", seed=seed)[0]
    return audit.self_preference_bias("a-2024", ["a-2024", "x", "y"], LABELS, outcomes(found))


@pytest.mark.parametrize("planted", [0, 5, 10, 20])
@pytest.mark.parametrize("measure", [position, length, preference])
def test_planted_bias(measure: Callable[[np.random.Generator, float, int], Bias], planted: int) -> None:
    bias = measure(np.random.default_rng(planted), planted / 100, 1)
    assert bias.size is not None and abs(bias.size.mean - planted) < 2
    assert bias.detected == (planted > 0)


@pytest.mark.slow
@pytest.mark.parametrize("planted", [0, 5, 10, 20])
@pytest.mark.parametrize("measure", [position, length, preference])
def test_planted_bias_again_and_again(measure: Callable[[np.random.Generator, float, int], Bias], planted: int) -> None:
    """100 runs: within 2 points in at least 95, no systematic error, false alarms in at most 5."""
    rng = np.random.default_rng(planted)
    found = [measure(rng, planted / 100, seed) for seed in range(100)]
    errors = np.array([bias.size.mean - planted for bias in found if bias.size])
    assert len(errors) == 100 and abs(errors.mean()) < 0.5
    assert (np.abs(errors) < 2).sum() >= 95
    detected = sum(bias.detected for bias in found)
    assert detected <= 5 if planted == 0 else detected >= 95


@pytest.mark.parametrize("planted", [0.0, 0.1])
def test_position_where_each_pair_is_judged_once_in_a_random_order(planted: float) -> None:
    rng, sizes = np.random.default_rng(3), []
    for seed in range(20):
        both, _ = judged(rng, first=planted, seed=seed, questions=2000)
        once = [both[2 * q + int(rng.random() < 0.5)] for q in range(2000)]
        bias = audit.position_bias(once)
        assert bias.size is not None
        sizes.append(bias.size.mean)
    assert np.mean(sizes) == pytest.approx(100 * planted, abs=1.0)


def test_what_cannot_be_told_is_not_told() -> None:
    rng = np.random.default_rng(0)
    judgments, sizes = judged(rng, questions=30)
    one_order = [judgment for judgment in judgments if judgment.models == LABELS]
    assert audit.position_bias(one_order).size is None and "one order" in audit.position_bias(one_order).note
    always = {key: 100 if key[0] == "a" else 200 for key in sizes}
    assert "always longer" in audit.length_bias(outcomes(judgments), always).note
    assert audit.length_bias(outcomes(judgments), {}).size is None
    assert "no other judge" in audit.self_preference_bias("a", ["a"], LABELS, outcomes(judgments)).note
    assert "bears the judge's name" in audit.self_preference_bias("j", ["j", "k"], LABELS, outcomes(judgments)).note
    alone = [Judgment("single", "1", 1, ("a",), "j", (5.0,), "")]
    assert audit.position_bias(alone).size is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("gpt-4", "gpt-4", True),
        ("gpt-4", "gpt-4-0613", True),
        ("openai/GPT-4", "gpt-4-0613", True),
        ("run/tuned/model@0a1b2c", "model", True),
        ("gpt-4", "gpt-4o", False),
        ("gpt-4", "gpt-4-turbo", False),
        ("vicuna-7b", "vicuna-13b", False),
    ],
)
def test_whose_answers_are_the_judges_own(one: str, other: str, same: bool) -> None:
    assert audit.same_model(one, other) == audit.same_model(other, one) == same


def test_repeats() -> None:
    first = [Judgment("single", str(q), 1, ("a",), "j", (float(q),), "") for q in range(1, 5)]
    again = [
        Judgment("single", str(q), 1, ("a",), "j", None if q == 4 else (q + 2.0 * (q == 3),), "", repeat=1)
        for q in range(1, 5)
    ]
    found = audit.repeat_agreement([*first, *again])
    assert found is not None and (found.asked, found.same) == (3, 2)
    assert found.mean_change == pytest.approx(2 / 3)
    assert audit.repeat_agreement(first) is None
