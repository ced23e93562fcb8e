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
from scipy.special import expit

from eval.numbers.stats import Floats, estimate_of_values
from eval.results import Estimate

# Difficulties are drawn to 0 as by a standard normal prior; without it a question that all models lost would have none.
RIDGE = 1.0
# A model whose answers are nearly all shorter gives little evidence on what length does, and its win rate at equal
# length is an extrapolation. AlpacaEval 2 also draws the slopes to 0 (section 3.2); at 3 the published win rates of 20
# models come out closest (tests/eval/test_published.py).
SLOPE_RIDGE = 3.0
# Nearly nothing, on the models' terms: enough that a model which won (or lost) everything has a finite one.
TINY = 1e-3
STEPS = 100


@dataclass(frozen=True, slots=True)
class Comparison:
    """One judged answer against the baseline's.

    Attributes:
        model: its label.
        question: the question's id.
        turn: from 1; each turn has its own difficulty, but the interval keeps a question's turns together.
        share: of the win, 0..1.
        longer: characters of the model's answer minus those of the baseline's.
    """

    model: str
    question: str
    turn: int
    share: float
    longer: float


def length_controlled(comparisons: Sequence[Comparison]) -> dict[str, Estimate]:
    """For each model its win rate in percent at length difference 0, averaged over the questions it was judged on.

    log-odds = model + slope of the model x tanh(difference / its standard deviation for this model) + difficulty.

    The interval comes from each question's influence on the result (the infinitesimal jackknife), so that it is
    clustered on the question and includes the uncertainty of all terms.
    """
    rows = sorted(comparisons, key=lambda row: (row.model, row.question, row.turn, row.share, row.longer))
    if not rows:
        return {}
    models, model = np.unique([row.model for row in rows], return_inverse=True)
    clusters, cluster = np.unique([row.question for row in rows], return_inverse=True)
    asked, question = np.unique([f"{row.question}\0{row.turn}" for row in rows], return_inverse=True)
    shares = np.array([row.share for row in rows])
    lengths = np.array([row.longer for row in rows])
    for place in range(len(models)):
        deviation = lengths[model == place].std()
        lengths[model == place] = np.tanh(lengths[model == place] / deviation) if deviation > 0 else 0.0
    fit = _Fit(model, question, shares, lengths, len(models), len(asked))
    of_question = np.zeros(len(asked), dtype=np.intp)
    of_question[question] = cluster
    made = {}
    for place, label in enumerate(models):
        rate, influences = fit.at_equal_length(place)
        there = np.unique(cluster[model == place])
        spread = np.bincount(of_question, influences, len(clusters))[there]
        values = 100 * (rate + (spread - spread.mean()) * len(there))
        made[str(label)] = estimate_of_values(values, (0.0, 100.0), int((model == place).sum()))
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
        self._draw = np.repeat([TINY, SLOPE_RIDGE], models)
        self.terms, self.hard = np.zeros(2 * models), np.zeros(questions)
        for _ in range(STEPS):
            rest, weights = self._rest()
            slope, slopes = (
                self._by_terms(rest) - self._draw * self.terms,
                self._by_question(rest) - self._ridge * self.hard,
            )
            own, cross, reduced = self._second(weights)
            step = np.linalg.solve(reduced, slope - cross @ (slopes / own))
            steps = (slopes - cross.T @ step) / own
            largest = max(float(np.abs(step).max()), float(np.abs(steps).max()))
            damp = min(1.0, 4.0 / max(largest, 1e-300))
            self.terms, self.hard = self.terms + damp * step, self.hard + damp * steps
            if largest < 1e-12:
                break

    def at_equal_length(self, place: int) -> tuple[float, Floats]:
        """A model's win rate (0..1) at equal length, and how much of its deviation comes from each question."""
        rest, weights = self._rest()
        own, cross, reduced = self._second(weights)
        mine = np.flatnonzero(self._model == place)
        asked = self._question[mine]
        wins = expit(self.terms[place] + self.hard[asked])
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
        direct = np.bincount(asked, wins - wins.mean(), self._questions) / len(mine)
        return float(wins.mean()), direct + moved

    def _rest(self) -> tuple[Floats, Floats]:
        own = self.terms[self._model] + self.terms[self._models + self._model] * self._lengths
        wins = expit(own + self.hard[self._question])
        return self._shares - wins, wins * (1 - wins)

    def _by_question(self, values: Floats) -> Floats:
        return np.bincount(self._question, values, self._questions).astype(float)

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
        full = np.zeros((2 * models, 2 * models))
        plain, mixed, squared = (
            np.bincount(self._model, weights * self._lengths**power, models) for power in (0, 1, 2)
        )
        places = np.arange(models)
        full[places, places] = plain
        full[places, models + places] = full[models + places, places] = mixed
        full[models + places, models + places] = squared
        full += np.diag(self._draw)
        return own, cross, full - (cross / own) @ cross.T
