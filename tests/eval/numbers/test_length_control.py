"""Length-controlled win rates: joined by question, independent of order and company, right about planted truths."""

import random
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from eval.numbers.difficulties import RIDGE, fit_difficulties
from eval.numbers.length_control import PRECISION, TINY, Comparison, Difficulties, length_controlled

BASELINE = 2000.0


def made(seed: int, questions: int = 400, models: int = 5, exact: bool = False) -> tuple[list[Comparison], list[float]]:
    """Comparisons by the model itself, and each model's true win rate (percent) at equal length.

    Answers of the first model are mostly shorter than the baseline's, of the last mostly longer. `exact` gives the
    probabilities as shares of the win instead of wins drawn from them.
    """
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 1, questions)
    rows, truths = [], []
    for model in range(models):
        own = rng.normal(-0.5, 1)
        longer = rng.normal(200 * (model - 2), 400, questions)
        chance = expit(own + hard + np.tanh(longer / longer.std()))
        wins = chance if exact else rng.random(questions) < chance
        rows += [
            Comparison(f"m{model}", f"q{place}", 1, float(wins[place]), BASELINE + float(longer[place]), BASELINE)
            for place in range(questions)
        ]
        truths.append(100 * float(expit(own + hard).mean()))
    return rows, truths


def test_row_order_never_matters() -> None:
    rows, _ = made(1)
    known = fit_difficulties(rows)
    shuffled = random.Random(0).sample(rows, len(rows))
    assert length_controlled(shuffled, known) == length_controlled(rows, known)
    again = fit_difficulties(shuffled)
    assert again.slope == pytest.approx(known.slope) and again.log_odds == pytest.approx(known.log_odds)


@pytest.mark.parametrize("fitted", [True, False])
def test_a_number_does_not_depend_on_who_else_is_there(fitted: bool) -> None:
    rows, _ = made(2)
    known = fit_difficulties(rows) if fitted else None
    together = length_controlled(rows, known)
    for label in together:
        assert length_controlled([row for row in rows if row.model == label], known) == {label: together[label]}


def test_deleted_rows_leave_the_others_joined() -> None:
    """Questions renamed by position would give another result; renamed consistently they give the same."""
    rows, _ = made(2)
    gone = set(random.Random(1).sample(range(len(rows)), 37))
    left = [row for place, row in enumerate(rows) if place not in gone]
    names = {f"q{place}": f"z{(place * 7919) % 400:03d}" for place in range(400)}
    renamed = [replace(row, question=names[row.question]) for row in left]
    first, second = (length_controlled(part, fit_difficulties(part)) for part in (left, renamed))
    for label in first:
        assert second[label].mean == pytest.approx(first[label].mean, abs=1e-8)
        assert second[label].error == pytest.approx(first[label].error, abs=1e-8)
    assert first != length_controlled(rows, fit_difficulties(rows))


def test_the_solvers_against_scipy() -> None:
    """The penalised likelihoods written out plainly and handed to a general optimiser."""
    rows, _ = made(3, questions=40, models=3)
    rows = rows[:100]
    labels, questions = sorted({row.model for row in rows}), sorted({row.question for row in rows})
    model = np.array([labels.index(row.model) for row in rows])
    question = np.array([questions.index(row.question) for row in rows])
    share, longer = np.array([row.share for row in rows]), np.array([row.longer for row in rows])
    for place in range(3):
        longer[model == place] = np.tanh(longer[model == place] / longer[model == place].std())

    def joint_loss(values: NDArray[np.float64]) -> float:
        odds = values[:3][model] + values[3] * longer + values[4:][question]
        penalty = TINY * (values[:4] ** 2).sum() + RIDGE * (values[4:] ** 2).sum()
        return float((np.logaddexp(0, odds) - share * odds).sum() + penalty / 2)

    best = minimize(joint_loss, np.zeros(4 + len(questions)), tol=1e-12).x
    known = fit_difficulties(rows)
    assert known.slope == pytest.approx(best[3], abs=1e-3)
    assert [known.log_odds[name] for name in questions] == pytest.approx(list(best[4:]), abs=1e-3)
    ours = length_controlled(rows, known)
    for place, label in enumerate(labels):
        own = model == place
        hard = np.array([known.log_odds[row.question] for row in rows if row.model == label])

        def loss(values: NDArray[np.float64], own: NDArray[np.bool_] = own, hard: NDArray[np.float64] = hard) -> float:
            odds = values[0] + values[1] * longer[own] + values[2] * hard
            penalty = TINY * values[0] ** 2 + PRECISION * ((values[1] - known.slope) ** 2 + (values[2] - 1) ** 2)
            return float((np.logaddexp(0, odds) - share[own] * odds).sum() + penalty / 2)

        best = minimize(loss, np.zeros(3), tol=1e-12).x
        assert ours[label].mean == pytest.approx(100 * expit(best[0] + best[2] * hard).mean(), abs=1e-3)


def test_a_planted_truth_is_recovered() -> None:
    """Where raw win rates are off by 10 points and more, those at equal length are within 1.5, and 0.5 on average."""
    errors, raw = [], []
    for seed in range(10):
        rows, truths = made(seed, questions=805, exact=True)
        ours = length_controlled(rows, fit_difficulties(rows))
        for place, truth in enumerate(truths):
            errors.append(abs(ours[f"m{place}"].mean - truth))
            raw.append(abs(100 * np.mean([row.share for row in rows if row.model == f"m{place}"]) - truth))
    assert max(errors) < 1.5 and np.mean(errors) < 0.5
    assert max(raw) > 10 and np.mean(raw) > 5


def test_intervals_hold_the_planted_truth() -> None:
    """Difficulties known beforehand, from other models on the same questions."""
    inside = 0
    for seed in range(40):
        rows, truths = made(seed + 100, models=6)
        known = fit_difficulties([row for row in rows if row.model not in ("m2", "m3")])
        ours = length_controlled(rows, known)
        for place in (2, 3):
            low, high = ours[f"m{place}"].low, ours[f"m{place}"].high
            assert low is not None and high is not None
            inside += low <= truths[place] <= high
    assert inside >= 0.9 * 80


def test_the_interval_is_that_of_refits_on_resampled_questions() -> None:
    rows, _ = made(5, questions=100, models=3)
    known = fit_difficulties(rows)
    own = [row for row in rows if row.model == "m1"]
    rng, means = np.random.default_rng(0), []
    for _ in range(150):
        drawn = rng.choice(len(own), len(own))
        again = [replace(own[pick], question=f"{place}") for place, pick in enumerate(drawn)]
        hard = {f"{place}": known.log_odds[own[pick].question] for place, pick in enumerate(drawn)}
        means.append(length_controlled(again, Difficulties(known.slope, hard))["m1"].mean)
    assert length_controlled(own, known)["m1"].error == pytest.approx(np.std(means), rel=0.2)


def test_one_model_and_a_clean_sweep() -> None:
    """Usable on any set: a single model, no variation in length, every question won."""

    def alone(shares: list[float], longer: list[float]) -> float:
        rows = [
            Comparison("m", str(i), 1, share, 100 + more, 100)
            for i, (share, more) in enumerate(zip(shares, longer, strict=True))
        ]
        return length_controlled(rows)["m"].mean

    assert alone([float(i % 4 == 0) for i in range(100)], [0.0] * 100) == pytest.approx(25, abs=0.1)
    assert 95 < alone([1.0] * 100, [float(i) for i in range(100)]) <= 100
    assert length_controlled([]) == {}


def test_about_as_long_is_within_a_fifth() -> None:
    near = [Comparison("m", "q", 1, 1.0, characters, 1000).near for characters in (799, 800, 1000, 1200, 1201)]
    assert near == [False, True, True, True, False]
