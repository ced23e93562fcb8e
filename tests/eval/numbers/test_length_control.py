"""Length-controlled win rates: joined by question, independent of order, and right about planted truths."""

import random

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from eval.numbers.length_control import RIDGE, SLOPE_RIDGE, TINY, Comparison, length_controlled


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
            Comparison(f"m{model}", f"q{place}", 1, float(wins[place]), float(longer[place]))
            for place in range(questions)
        ]
        truths.append(100 * float(expit(own + hard).mean()))
    return rows, truths


def test_row_order_never_matters() -> None:
    rows, _ = made(1)
    shuffled = random.Random(0).sample(rows, len(rows))
    assert length_controlled(shuffled) == length_controlled(rows)


def test_deleted_rows_leave_the_others_joined() -> None:
    """Questions renamed by position would give another result; renamed consistently they give the same."""
    rows, _ = made(2)
    gone = set(random.Random(1).sample(range(len(rows)), 37))
    left = [row for place, row in enumerate(rows) if place not in gone]
    names = {f"q{place}": f"z{(place * 7919) % 400:03d}" for place in range(400)}
    renamed = [Comparison(row.model, names[row.question], 1, row.share, row.longer) for row in left]
    first, second = length_controlled(left), length_controlled(renamed)
    for label in first:
        assert second[label].mean == pytest.approx(first[label].mean, abs=1e-8)
        assert second[label].error == pytest.approx(first[label].error, abs=1e-8)
    assert first != length_controlled(rows)


def test_the_solver_against_scipy() -> None:
    """The penalised likelihood written out plainly and handed to a general optimiser."""
    rows, _ = made(3, questions=40, models=3)
    rows = rows[:100]
    labels, questions = sorted({row.model for row in rows}), sorted({row.question for row in rows})
    model = np.array([labels.index(row.model) for row in rows])
    question = np.array([questions.index(row.question) for row in rows])
    share, longer = np.array([row.share for row in rows]), np.array([row.longer for row in rows])
    for place in range(3):
        longer[model == place] = np.tanh(longer[model == place] / longer[model == place].std())

    def loss(values: NDArray[np.float64]) -> float:
        own, slope, hard = values[:3], values[3:6], values[6:]
        odds = own[model] + slope[model] * longer + hard[question]
        penalty = TINY * (own**2).sum() + SLOPE_RIDGE * (slope**2).sum() + RIDGE * (hard**2).sum()
        return float((np.logaddexp(0, odds) - share * odds).sum() + penalty / 2)

    best = minimize(loss, np.zeros(6 + len(questions)), tol=1e-12).x
    ours = length_controlled(rows)
    for place, label in enumerate(labels):
        expected = 100 * expit(best[place] + best[6:][question[model == place]]).mean()
        assert ours[label].mean == pytest.approx(expected, abs=1e-2)


def test_a_planted_truth_is_recovered() -> None:
    """Where raw win rates are off by 10 points and more, those at equal length are within 1.5, and 0.6 on average.

    The rest, at models with the shortest and the longest answers, is the price of drawing slopes to 0.
    """
    errors, raw = [], []
    for seed in range(10):
        rows, truths = made(seed, questions=805, exact=True)
        ours = length_controlled(rows)
        for place, truth in enumerate(truths):
            errors.append(abs(ours[f"m{place}"].mean - truth))
            raw.append(abs(100 * np.mean([row.share for row in rows if row.model == f"m{place}"]) - truth))
    assert max(errors) < 1.5 and np.mean(errors) < 0.6
    assert max(raw) > 10 and np.mean(raw) > 5


def test_intervals_hold_the_planted_truth() -> None:
    inside = 0
    for seed in range(40):
        rows, truths = made(seed + 100)
        ours = length_controlled(rows)
        for place, truth in enumerate(truths):
            low, high = ours[f"m{place}"].low, ours[f"m{place}"].high
            assert low is not None and high is not None
            inside += low <= truth <= high
    assert inside >= 0.9 * 200


def test_the_interval_is_that_of_refits_on_resampled_questions() -> None:
    rows, _ = made(5, questions=100, models=3)
    by_question: dict[str, list[Comparison]] = {}
    for row in rows:
        by_question.setdefault(row.question, []).append(row)
    rng, names = np.random.default_rng(0), list(by_question)
    means = []
    for _ in range(150):
        drawn = [
            Comparison(row.model, f"{place}", 1, row.share, row.longer)
            for place, name in enumerate(rng.choice(names, len(names)))
            for row in by_question[name]
        ]
        means.append([value.mean for value in length_controlled(drawn).values()])
    ours = [value.error for value in length_controlled(rows).values()]
    assert ours == pytest.approx(np.std(means, axis=0), rel=0.2)


def test_one_model_and_a_clean_sweep() -> None:
    """Usable on any set: a single model, no variation in length, every question won."""
    alone = length_controlled([Comparison("m", str(i), 1, float(i % 4 == 0), 0.0) for i in range(100)])["m"]
    assert alone.mean == pytest.approx(25, abs=0.1)
    sweep = length_controlled([Comparison("m", str(i), 1, 1.0, float(i)) for i in range(100)])["m"]
    assert 95 < sweep.mean <= 100
    assert length_controlled([]) == {}
