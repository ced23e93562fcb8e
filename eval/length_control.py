"""Win rates at equal length: how often a model would win if its answers were as long as the baseline's.

The model is AlpacaEval 2's (Dubois et al. 2024, "Length-Controlled AlpacaEval: A Simple Way to Debias Automatic
Evaluators", equation 2): the log-odds of winning are a term for the model, a term for the length difference, and the
difficulty of the question. Three things differ, so that it works on any question set and gives the same numbers with
any library version: the difficulties are fitted to the judgments at hand and not taken from a file, one joint fit
serves all models, and the solver is our own. Rows belong together by question id, never by position.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.results import Estimate
from eval.stats import Floats, of_values

# Difficulties are drawn to 0 as by a standard normal prior; without it a question that all models lost would have none.
RIDGE = 1.0
# Nearly nothing, on the models' terms: enough that a model which won (or lost) everything has finite ones.
TINY = 1e-3
STEPS = 100


@dataclass(frozen=True, slots=True)
class Comparison:
    """One judged answer against the baseline's.

    Attributes:
        model: its label.
        question: the question's id (with its turn, if there are several).
        share: of the win, 0..1.
        longer: characters of the model's answer minus those of the baseline's.
    """

    model: str
    question: str
    share: float
    longer: float


def length_controlled(comparisons: Sequence[Comparison]) -> dict[str, Estimate]:
    """For each model its win rate in percent at length difference 0, averaged over the questions it was judged on.

    log-odds = model + slope of the model x tanh(difference / its standard deviation for this model) + difficulty.

    The interval comes from each question's influence on the result (the infinitesimal jackknife), so that it is
    clustered on the question and includes the uncertainty of all terms.
    """
    rows = sorted(comparisons, key=lambda row: (row.model, row.question, row.share, row.longer))
    if not rows:
        return {}
    models, model = np.unique([row.model for row in rows], return_inverse=True)
    questions, question = np.unique([row.question for row in rows], return_inverse=True)
    shares = np.array([row.share for row in rows])
    lengths = np.array([row.longer for row in rows])
    for place in range(len(models)):
        deviation = lengths[model == place].std()
        lengths[model == place] = np.tanh(lengths[model == place] / deviation) if deviation > 0 else 0.0
    fit = _Fit(model, question, shares, lengths, len(models), len(questions))
    made = {}
    for place, label in enumerate(models):
        values = fit.influences(place)
        made[str(label)] = of_values(100 * values, (0.0, 100.0), int((model == place).sum()))
    return made


class _Fit:
    """The fitted terms: `terms` holds each model's own term and then each model's slope; `hard` the difficulties.

    Newton's method, with the difficulties eliminated: a question's difficulty touches only its own rows, so their
    block of the second derivative is diagonal, and what is left to solve has two unknowns a model.
    """

    def __init__(
        self,
        model: NDArray[np.intp],
        question: NDArray[np.intp],
        shares: Floats,
        lengths: Floats,
        models: int,
        questions: int,
    ) -> None:
        self._model, self._question, self._shares, self._lengths = model, question, shares, lengths
        self._models, self._questions = models, questions
        # With one model a difficulty can't be told from luck.
        self._ridge = RIDGE if models > 1 else 1e9
        self.terms, self.hard = np.zeros(2 * models), np.zeros(questions)
        for _ in range(STEPS):
            rest, weights = self._rest()
            slope, slopes = self._by_terms(rest) - TINY * self.terms, self._by_question(rest) - self._ridge * self.hard
            own, cross, reduced = self._second(weights)
            step = np.linalg.solve(reduced, slope - cross @ (slopes / own))
            steps = (slopes - cross.T @ step) / own
            largest = max(float(np.abs(step).max()), float(np.abs(steps).max()))
            damp = min(1.0, 4.0 / max(largest, 1e-300))
            self.terms, self.hard = self.terms + damp * step, self.hard + damp * steps
            if largest < 1e-12:
                break

    def influences(self, place: int) -> Floats:
        """One value a question for a model: their mean is its win rate at equal length, their spread its error."""
        rest, weights = self._rest()
        own, cross, reduced = self._second(weights)
        mine = np.flatnonzero(self._model == place)
        asked = self._question[mine]
        wins = _expit(self.terms[place] + self.hard[asked])
        slopes = wins * (1 - wins) / len(mine)
        # The mean win rate by the terms: directly, and through the difficulties, which move with the terms.
        by_terms = np.zeros(2 * self._models)
        by_terms[place] = slopes.sum()
        by_hard = np.bincount(asked, slopes, self._questions)
        by_terms -= cross @ (by_hard / own)
        # Each question's pull on the terms, its difficulty having adjusted, and on its own difficulty.
        pulls = np.zeros((self._questions, 2 * self._models))
        np.add.at(pulls, (self._question, self._model), rest)
        np.add.at(pulls, (self._question, self._models + self._model), rest * self._lengths)
        own_pull = self._by_question(rest) - self._ridge * self.hard
        pulls -= (cross * (own_pull / own)).T
        moved = pulls @ np.linalg.solve(reduced, by_terms) + by_hard * own_pull / own
        there = np.unique(asked)
        direct = np.bincount(asked, wins, self._questions)[there] * len(there) / len(mine)
        elsewhere = np.setdiff1d(np.arange(self._questions), there)
        spread: Floats = direct + moved[there] * len(there)
        return spread + float(moved[elsewhere].sum())

    def _rest(self) -> tuple[Floats, Floats]:
        own = self.terms[self._model] + self.terms[self._models + self._model] * self._lengths
        wins = _expit(own + self.hard[self._question])
        return self._shares - wins, wins * (1 - wins)

    def _by_question(self, values: Floats) -> Floats:
        return np.bincount(self._question, values, self._questions)

    def _by_terms(self, values: Floats) -> Floats:
        return np.concatenate(
            [np.bincount(self._model, part, self._models) for part in (values, values * self._lengths)]
        )

    def _second(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """Minus the second derivatives: of the difficulties (diagonal), mixed, and of the terms after elimination."""
        models = self._models
        own = self._by_question(weights) + self._ridge
        cross = np.zeros((2 * models, self._questions))
        np.add.at(cross, (self._model, self._question), weights)
        np.add.at(cross, (models + self._model, self._question), weights * self._lengths)
        full = np.diag(self._by_terms(weights) + TINY)
        mixed = np.bincount(self._model, weights * self._lengths, models)
        squared = np.bincount(self._model, weights * self._lengths**2, models)
        places = np.arange(models)
        full[places, models + places] = full[models + places, places] = mixed
        full[models + places, models + places] = squared + TINY
        return own, cross, full - (cross / own) @ cross.T


def _expit(values: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-np.clip(values, -700, 700)))
    return result
