"""Ratings against logistic regression by another library, and where there are none."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from eval.judging.judgments import Judgment
from eval.numbers.bradley_terry import MEAN, POINTS, fit_ratings
from eval.numbers.outcomes import Outcome


def outcome(question: int, one: str, two: str, first: float) -> Outcome:
    scores = (first, 1 - first)
    judgment = Judgment("pairwise", str(question), 1, (one, two), "j", scores, "")
    return Outcome("j", str(question), 1, (one, two), scores, False, (judgment,))


def games(seed: int, questions: int, truth: list[float]) -> list[Outcome]:
    """Every pair on every question; a fifth of the games is tied."""
    rng, made = np.random.default_rng(seed), []
    for question in range(questions):
        for one, two in combinations(range(len(truth)), 2):
            chance = 0.8 / (1 + np.exp(truth[two] - truth[one]))
            first = float(rng.choice([1.0, 0.5, 0.0], p=[chance, 0.2, 0.8 - chance]))
            made.append(outcome(question, f"m{one}", f"m{two}", first))
    return made


def test_equal_to_logistic_regression() -> None:
    """The imaginary ties are two rows a model: half a win and half a loss against a player at 0."""
    found = games(0, 30, [0.0, 0.5, 1.0, -1.0])
    rows, wins, weights = [], [], []
    for item in found:
        assert item.scores is not None
        row = np.zeros(4)
        row[int(item.models[0][1])], row[int(item.models[1][1])] = 1, -1
        for won, weight in ((1, item.scores[0]), (0, item.scores[1])):
            rows.append(row)
            wins.append(won)
            weights.append(weight)
    for place in range(4):
        for won in (0, 1):
            rows.append(np.eye(4)[place])
            wins.append(won)
            weights.append(0.5)
    theirs = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, max_iter=10_000)
    theirs.fit(np.array(rows), wins, sample_weight=weights)
    expected = theirs.coef_[0] - theirs.coef_[0].mean()
    ours = fit_ratings([f"m{place}" for place in range(4)], found)
    assert ours is not None
    assert [ours.models[f"m{place}"].mean for place in range(4)] == pytest.approx(
        list(MEAN + POINTS * expected), abs=1e-2
    )


def test_coverage() -> None:
    truth = np.array([0.0, 0.4, -0.4])
    hits, flat = 0, shrunk(truth)
    for seed in range(300):
        found = fit_ratings(["m0", "m1", "m2"], games(seed, 60, list(truth)))
        assert found is not None
        for place in range(3):
            got = found.models[f"m{place}"]
            assert got.low is not None and got.high is not None
            hits += got.low <= MEAN + POINTS * flat[place] <= got.high
    assert 0.93 <= hits / 900 <= 0.975


def shrunk(strengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """The strengths that fit expected shares 0.1 + 0.8 p best: those of endless games."""
    share = [
        (one, two, 0.1 + 0.8 / (1 + np.exp(strengths[two] - strengths[one])))
        for one in range(3)
        for two in range(one + 1, 3)
    ]
    found = fit_ratings(
        ["0", "1", "2"],
        [outcome(question, str(one), str(two), float(p)) for question in range(3000) for one, two, p in share],
    )
    assert found is not None
    return np.array([(found.models[str(place)].mean - MEAN) / POINTS for place in range(3)])


def test_a_clean_sweep_is_finite() -> None:
    found = fit_ratings(["a", "b"], [outcome(question, "a", "b", 1.0) for question in range(50)])
    assert found is not None and 1100 < found.models["a"].mean < 2500
    assert found.models["a"].mean + found.models["b"].mean == pytest.approx(2 * MEAN)


def test_models_that_never_met_have_no_common_scale() -> None:
    apart = [outcome(0, "a", "b", 1.0), outcome(1, "c", "d", 0.0)]
    assert fit_ratings(["a", "b", "c", "d"], apart) is None
    assert fit_ratings(["a", "b", "c", "d"], [*apart, outcome(2, "b", "c", 0.5)]) is not None
    assert fit_ratings(["a"], []) is None
