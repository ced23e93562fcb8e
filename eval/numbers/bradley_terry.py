"""Ratings from pairwise outcomes: the Bradley-Terry model, with intervals clustered on the question.

With covariates, the same at equal style: what length, headers, lists and bold words do to this judge is fitted beside
the models, and the ratings are those of models that write alike (Li, Angelopoulos & Chiang 2024, "Does style matter?
Disentangling style and substance in Chatbot Arena", lmsys.org).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
LARGEST_ERROR = 1.0  # log-odds: an effect known no better is not told from the models, or from another one


Covariates = Callable[[Outcome], Sequence[float] | None]
"""A game's covariates, of the first model over the second; None if they aren't known."""


@dataclass(frozen=True, slots=True)
class Ratings:
    """What was fitted, on the Elo scale.

    Attributes:
        models: each one's rating.
        effects: for each covariate the points that it adds at 1; empty if there are none.
    """

    models: dict[str, Estimate]
    effects: tuple[Estimate, ...]


def fit_ratings(
    labels: Sequence[str], outcomes: Sequence[Outcome], covariates: Covariates | None = None
) -> Ratings | None:
    """Maximum-likelihood ratings, P(i beats j) = 1 / (1 + exp(r_j - r_i - c x)); a tie is half a win for both.

    The interval is the sandwich variance with the question as cluster and Student's t: what the bootstrap over
    questions gives, without its noise.

    Args:
        labels: the models to rate.
        outcomes: of pairs; those without scores, or whose covariates aren't known, are left out.
        covariates: x of each outcome.

    Returns:
        None unless the outcomes connect all models: there is no common scale for those that never met, even
        through others. None, too, if the covariates can't be told from the models or from each other.
    """
    places = {label: place for place, label in enumerate(labels)}
    games = [item for item in outcomes if item.scores and len(item.models) == 2 and set(item.models) <= set(places)]
    known = [(game, covariates(game) if covariates else ()) for game in games]
    games = [game for game, values in known if values is not None]
    if len(labels) < 2 or not games:
        return None
    pairs = np.array([[places[model] for model in game.models] for game in games])
    met = np.zeros((len(labels), len(labels)))
    met[pairs[:, 0], pairs[:, 1]] = 1
    if connected_components(met, directed=False)[0] > 1:
        return None
    table = np.array([values for _, values in known if values is not None], dtype=float)
    fit = _Fit(pairs, table, np.array([first_share(game) for game in games]), len(labels))
    if not fit.converged:
        return None
    questions = list(dict.fromkeys(game.question for game in games))
    rows = {question: row for row, question in enumerate(questions)}
    errors = fit.errors(np.array([rows[game.question] for game in games]), len(questions))
    counts = np.bincount(pairs.ravel(), minlength=len(labels))

    def estimate(value: float, error: float, count: int) -> Estimate:
        if len(questions) == 1:
            return Estimate(value, None, None, None, count, 1)
        reach = float(stats.t.ppf(0.975, len(questions) - 1)) * error
        return Estimate(value, value - reach, value + reach, error, count, len(questions))

    strengths = fit.terms[: len(labels)] - fit.terms[: len(labels)].mean()
    return Ratings(
        {
            label: estimate(MEAN + POINTS * float(strengths[place]), float(errors[place]), int(counts[place]))
            for label, place in places.items()
        },
        tuple(
            estimate(POINTS * float(value), float(error), len(games))
            for value, error in zip(fit.terms[len(labels) :], errors[len(labels) :], strict=True)
        ),
    )


class _Fit:
    """The fitted `terms`, strengths first and then the covariates' effects, in log-odds.

    Newton's method; the strengths are strictly concave through the imaginary ties.
    """

    def __init__(self, pairs: NDArray[np.intp], table: Floats, shares: Floats, models: int) -> None:
        self._pairs, self._table, self._shares, self._models = pairs, table, shares, models
        self.terms = np.zeros(models + table.shape[1])
        self.converged = False
        for _ in range(STEPS):
            rest, own = self._rest(), expit(self.terms[:models])
            slope = self._by_terms(rest)
            slope[:models] -= IMAGINARY * (own - 0.5)
            try:
                step = np.linalg.solve(self._information(), slope)
            except np.linalg.LinAlgError:
                return
            step *= min(1.0, 2.0 / max(1e-300, float(np.abs(step).max())))
            self.terms = self.terms + step
            if np.abs(step).max() < 1e-12:
                variances = np.diag(np.linalg.inv(self._information()))[models:]
                self.converged = bool((variances < LARGEST_ERROR**2).all())
                return

    def errors(self, cluster: NDArray[np.intp], clusters: int) -> Floats:
        """Standard errors on the Elo scale, the strengths' about their mean."""
        rest = self._rest()
        first, second = self._pairs.T
        pulls = np.zeros((clusters, len(self.terms)))
        np.add.at(pulls, (cluster, first), rest)
        np.add.at(pulls, (cluster, second), -rest)
        for place, column in enumerate(self._table.T, start=self._models):
            pulls[:, place] = np.bincount(cluster, rest * column, clusters)
        moved = pulls @ np.linalg.inv(self._information())
        moved[:, : self._models] -= moved[:, : self._models].mean(axis=1, keepdims=True)
        factor = clusters / max(1, clusters - 1)
        errors: Floats = POINTS * np.sqrt(factor * (moved**2).sum(axis=0))
        return errors

    def _chances(self) -> Floats:
        first, second = self._pairs.T
        odds = self.terms[first] - self.terms[second] + self._table @ self.terms[self._models :]
        chances: Floats = expit(odds)
        return chances

    def _rest(self) -> Floats:
        return self._shares - self._chances()

    def _by_terms(self, values: Floats) -> Floats:
        """The sum over games of values times each term's part in the game."""
        first, second = self._pairs.T
        own = np.bincount(first, values, self._models) - np.bincount(second, values, self._models)
        return np.concatenate([own, self._table.T @ values])

    def _information(self) -> Floats:
        """Minus the second derivative of the log-likelihood."""
        models, chances = self._models, self._chances()
        first, second = self._pairs.T
        weight = chances * (1 - chances)
        matrix = np.zeros((len(self.terms), len(self.terms)))
        met = np.bincount(first * models + second, weight, models * models).reshape(models, models)
        matrix[:models, :models] = -met - met.T
        own = expit(self.terms[:models])
        matrix[range(models), range(models)] = (met + met.T).sum(axis=1) + IMAGINARY * own * (1 - own)
        for place, column in enumerate(self._table.T, start=models):
            matrix[place] = self._by_terms(weight * column)
            matrix[:models, place] = matrix[place, :models]
        return matrix
