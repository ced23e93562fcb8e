"""Ratings from pairwise outcomes: the Bradley-Terry model, with intervals clustered on the question."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from eval.numbers.outcomes import Outcome, first_share
from eval.numbers.stats import Floats
from eval.results import Estimate

# 400 points are odds of 10 to 1 (Elo 1978); the mean is set to 1000, Chatbot Arena's start (Zheng et al. 2023).
POINTS, MEAN = 400 / math.log(10), 1000.0
# Each model also plays one imaginary tie against an average opponent. It keeps a model that won (or lost) everything
# at a finite rating, and is soon outweighed.
IMAGINARY = 1.0
STEPS = 100


def fit_ratings(labels: Sequence[str], outcomes: Sequence[Outcome]) -> dict[str, Estimate] | None:
    """Maximum-likelihood ratings, P(i beats j) = 1 / (1 + exp(r_j - r_i)); a tie is half a win for both.

    The interval is the sandwich variance with the question as cluster and Student's t: what the bootstrap over
    questions gives, without its noise.

    Args:
        labels: the models to rate.
        outcomes: of pairs; those without scores are left out.

    Returns:
        None unless the outcomes connect all models: there is no common scale for those that never met, even
        through others.
    """
    places = {label: place for place, label in enumerate(labels)}
    games = [item for item in outcomes if item.scores and len(item.models) == 2 and set(item.models) <= set(places)]
    if len(labels) < 2 or not games:
        return None
    pairs = np.array([[places[model] for model in game.models] for game in games])
    shares = np.array([first_share(game) for game in games])
    met = np.zeros((len(labels), len(labels)))
    met[pairs[:, 0], pairs[:, 1]] = 1
    if connected_components(met, directed=False)[0] > 1:
        return None
    strengths = _fit(pairs, shares, len(labels))
    questions = list(dict.fromkeys(game.question for game in games))
    rows = {question: row for row, question in enumerate(questions)}
    scores = np.zeros((len(questions), len(labels)))
    rest = shares - expit(strengths[pairs[:, 0]] - strengths[pairs[:, 1]])
    where = np.array([rows[game.question] for game in games])
    np.add.at(scores, (where, pairs[:, 0]), rest)
    np.add.at(scores, (where, pairs[:, 1]), -rest)
    centre = np.eye(len(labels)) - 1 / len(labels)
    shares_of_each = scores @ np.linalg.inv(_information(pairs, strengths)) @ centre
    made = {}
    for place, label in enumerate(labels):
        count = int((pairs == place).any(axis=1).sum())
        mean = MEAN + POINTS * float((centre @ strengths)[place])
        if len(questions) == 1:
            made[label] = Estimate(mean, None, None, None, count, 1)
            continue
        factor = len(questions) / (len(questions) - 1)
        error = float(POINTS * np.sqrt(factor * (shares_of_each[:, place] ** 2).sum()))
        reach = float(stats.t.ppf(0.975, len(questions) - 1)) * error
        made[label] = Estimate(mean, mean - reach, mean + reach, error, count, len(questions))
    return made


def _fit(pairs: NDArray[np.intp], shares: Floats, models: int) -> Floats:
    """Newton's method; the problem is strictly concave through the imaginary ties."""
    strengths = np.zeros(models)
    for _ in range(STEPS):
        rest = shares - expit(strengths[pairs[:, 0]] - strengths[pairs[:, 1]])
        slope = np.bincount(pairs[:, 0], rest, models) - np.bincount(pairs[:, 1], rest, models)
        slope = slope - IMAGINARY * (expit(strengths) - 0.5)
        step = np.linalg.solve(_information(pairs, strengths), slope)
        step *= min(1.0, 2.0 / max(1e-300, float(np.abs(step).max())))
        strengths = strengths + step
        if np.abs(step).max() < 1e-12:
            break
    return strengths


def _information(pairs: NDArray[np.intp], strengths: Floats) -> Floats:
    """Minus the second derivative of the log-likelihood: (models, models)."""
    first, second = pairs.T
    chance = expit(strengths[first] - strengths[second])
    weight = chance * (1 - chance)
    matrix = np.zeros((len(strengths), len(strengths)))
    np.add.at(matrix, (first, second), -weight)
    np.add.at(matrix, (second, first), -weight)
    own = expit(strengths)
    matrix[np.diag_indices_from(matrix)] = -matrix.sum(axis=1) + IMAGINARY * own * (1 - own)
    return matrix
