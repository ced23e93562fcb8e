"""Ratings at equal style: planted effects come out, another library agrees, and what can't be told is not told."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from eval.judging.judgments import Judgment
from eval.numbers.bradley_terry import MEAN, POINTS
from eval.numbers.outcomes import Outcome
from eval.numbers.style import NAMES, Style, rate_at_equal_style, style_differences, style_of

LABELS = ("m0", "m1", "m2")
STRENGTHS = np.array([0.6, 0.0, -0.6])
EFFECTS = np.array([1.2, 0.4, -0.3, 0.0])
Styles = dict[tuple[str, str, int], Style]


def battles(seed: int, questions: int, ties: float = 0.1) -> tuple[list[Outcome], Styles]:
    """Every pair on every question. The weakest model writes the longest answers, with most headers and lists."""
    rng = np.random.default_rng(seed)
    styles = {
        (label, str(q), 1): (
            int(rng.integers(200, 800)) * (place + 1),
            int(rng.poisson(place)),
            int(rng.poisson(2 + place)),
            int(rng.poisson(2)),
        )
        for q in range(questions)
        for place, label in enumerate(LABELS)
    }
    made = []
    for q in range(questions):
        for one, two in ((0, 1), (0, 2), (1, 2)):
            models = (LABELS[one], LABELS[two])
            first, second = (np.array(styles[model, str(q), 1], dtype=float) for model in models)
            differ = np.divide(first - second, first + second, out=np.zeros(4), where=first + second > 0)
            chance = expit(STRENGTHS[one] - STRENGTHS[two] + EFFECTS @ differ)
            won = 0.5 if rng.random() < ties else float(rng.random() < chance)
            judgment = Judgment("pairwise", str(q), 1, models, "j", (won, 1 - won), "")
            made.append(Outcome("j", str(q), 1, models, (won, 1 - won), False, (judgment,)))
    return made, styles


def test_equal_to_logistic_regression() -> None:
    """Each game two weighted rows; the imaginary ties two rows a model, against a player at 0 who writes alike."""
    found, styles = battles(0, 200)
    differences = style_differences(styles)
    rows, wins, weights = [], [], []
    for game in found:
        differ = differences(game)
        assert game.scores is not None and differ is not None
        row = np.zeros(7)
        row[LABELS.index(game.models[0])], row[LABELS.index(game.models[1])], row[3:] = 1, -1, differ
        for won, weight in ((1, game.scores[0]), (0, game.scores[1])):
            rows.append(row)
            wins.append(won)
            weights.append(weight)
    for place in range(3):
        for won in (0, 1):
            rows.append(np.eye(7)[place])
            wins.append(won)
            weights.append(0.5)
    theirs = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-14, max_iter=10_000, solver="newton-cholesky")
    theirs.fit(np.array(rows), wins, sample_weight=weights)
    ours = rate_at_equal_style(LABELS, found, styles)
    assert ours is not None and ours[1] == NAMES
    strengths = [(ours[0].models[label].mean - MEAN) / POINTS for label in LABELS]
    assert strengths == pytest.approx(list(theirs.coef_[0][:3] - theirs.coef_[0][:3].mean()), abs=1e-6)
    effects = [effect.mean / POINTS for effect in ours[0].effects]
    assert effects == pytest.approx(list(theirs.coef_[0][3:]), abs=1e-6)


def test_planted_effects_are_recovered() -> None:
    """25 simulations of 500 questions: win rates at equal style are off by less than a point on average (no bias).

    Without the covariates the best model, which writes least, comes out more than 5 points too low.
    """
    truth = 100 * expit(STRENGTHS[:, None] - STRENGTHS)
    rates, plain, effects, inside = [], [], [], 0
    for seed in range(25):
        found, styles = battles(seed, 500, ties=0.0)
        ours = rate_at_equal_style(LABELS, found, styles)
        assert ours is not None
        strengths = np.array([ours[0].models[label].mean for label in LABELS]) / POINTS
        rates.append(100 * expit(strengths[:, None] - strengths))
        effects.append([effect.mean / POINTS for effect in ours[0].effects])
        for effect, planted in zip(ours[0].effects, EFFECTS, strict=True):
            assert effect.low is not None and effect.high is not None
            inside += effect.low <= POINTS * planted <= effect.high
        wins = [100 * np.mean([game.scores[0] for game in found if game.scores and game.models == ("m0", "m1")])]
        plain.append(wins[0] - truth[0, 1])
    bias: NDArray[np.float64] = np.mean(rates, axis=0) - truth
    assert np.abs(bias).max() < 1.0 and np.mean(plain) < -5
    assert np.mean(effects, axis=0) == pytest.approx(list(EFFECTS), abs=0.15)
    assert 0.9 <= inside / 100 <= 0.99


def test_what_cannot_be_told_is_not_told() -> None:
    found, styles = battles(1, 60)
    assert rate_at_equal_style(LABELS, found, {}) is None
    same = dict.fromkeys(styles, (100, 0, 0, 0))
    assert rate_at_equal_style(LABELS, found, same) is None
    # One model alone writes headers, always: its headers or itself?
    always = {key: (style[0], int(key[0] == "m0"), 0, 0) for key, style in styles.items()}
    assert rate_at_equal_style(LABELS, [game for game in found if "m0" in game.models], always) is None
    lengths = {key: (style[0], 0, 0, 0) for key, style in styles.items()}
    ours = rate_at_equal_style(LABELS, found, lengths)
    assert ours is not None and ours[1] == ("length",)


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("# One\n## Two\n#hashtag\ntext # three", (2, 0, 0)),
        ("- a\n* b\n  + c\n1. d\n2) e\n-f\n3.5 g", (0, 5, 0)),
        ("**bold** and __bold__ and *not* and ** no ** end", (0, 0, 3)),
        ("```python\n# comment\n- a\n**b**\n```\n# Head\n```\n- never closed", (1, 0, 0)),
    ],
)
def test_elements_are_counted_outside_of_code(text: str, style: tuple[int, int, int]) -> None:
    assert style_of(text) == (len(text), *style)
