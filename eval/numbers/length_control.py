"""Win rates at equal length: how often a model would win if its answers were as long as the baseline's.

The model is AlpacaEval 2's (Dubois et al. 2024, "Length-Controlled AlpacaEval: A Simple Way to Debias Automatic
Evaluators", equation 2): the log-odds of winning are a term for the model, a term for the length difference, and the
model's weight times the difficulty of the question. Difficulties, and what length does to this judge, are fitted
beforehand to many models (`eval.numbers.difficulties`), so that a model's number does not depend on who else is
reported; without them what is left is an estimate from the one model alone. Rows belong together by question id, never
by position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit

from eval.numbers.stats import Floats, estimate_of_values
from eval.results import Estimate

# How strongly a model's slope is drawn to that of all models (0 if unknown), and its weight of the difficulties to 1:
# the precision of a normal prior. A model whose answers are nearly all shorter says little on what length does, and its
# rate at equal length is an extrapolation; AlpacaEval 2 draws the slopes, too (section 3.2).
PRECISION = 10.0
# Nearly nothing, on the model's own term: enough that one which won (or lost) everything has a finite one.
TINY = 1e-3
STEPS = 100
NEAR = 0.2  # an answer is about as long as the baseline's if it differs by no more than a fifth
FEW_NEAR = 0.1  # of a model's answers; fewer make the win rate at equal length an extrapolation


@dataclass(frozen=True, slots=True)
class Comparison:
    """One judged answer against the baseline's.

    Attributes:
        model: its label.
        question: the question's id.
        turn: from 1; the interval keeps a question's turns together.
        share: of the win, 0..1.
        characters, baseline_characters: of the model's answer and of the baseline's.
    """

    model: str
    question: str
    turn: int
    share: float
    characters: float
    baseline_characters: float

    @property
    def longer(self) -> float:
        """Characters by which the model's answer is longer."""
        return self.characters - self.baseline_characters

    @property
    def near(self) -> bool:
        """Whether the answers are about equally long."""
        return abs(self.longer) <= NEAR * self.baseline_characters


@dataclass(frozen=True, slots=True)
class Difficulties:
    """What many models' judgments say about the questions and the judge.

    Attributes:
        slope: log-odds for an answer that is much longer than the baseline's (tanh of the difference in standard
            deviations is 1).
        log_odds: by question, how much easier than the average it is to beat the baseline; 0 for those not there.
    """

    slope: float = 0.0
    log_odds: Mapping[str, float] = field(default_factory=dict)


def length_controlled(comparisons: Sequence[Comparison], known: Difficulties | None = None) -> dict[str, Estimate]:
    """For each model its win rate in percent at length difference 0, averaged over the questions it was judged on.

    log-odds = model + slope x tanh(difference / its standard deviation) + weight x difficulty, all three of the model.

    Each model is fitted alone. The interval comes from each question's influence on the result (the infinitesimal
    jackknife), so that it is clustered on the question and includes the uncertainty of all terms but the difficulties.

    Args:
        comparisons: of any number of models.
        known: None makes single-model estimates: no difficulties, and slopes drawn to 0.
    """
    rows = sorted(comparisons, key=lambda row: (row.model, row.question, row.turn, row.share, row.longer))
    by_model: dict[str, list[Comparison]] = {}
    for row in rows:
        by_model.setdefault(row.model, []).append(row)
    return {model: _at_equal_length(own, known or Difficulties()) for model, own in by_model.items()}


def standard_lengths(longer: Floats) -> Floats:
    """Length differences of one model as -1..1, as AlpacaEval 2 takes them: tanh of standard deviations."""
    deviation = longer.std()
    return np.tanh(longer / deviation) if deviation > 0 else np.zeros(len(longer))


def _at_equal_length(rows: Sequence[Comparison], known: Difficulties) -> Estimate:
    shares = np.array([row.share for row in rows])
    lengths = standard_lengths(np.array([row.longer for row in rows]))
    difficulties = np.array([known.log_odds.get(row.question, 0.0) if row.turn == 1 else 0.0 for row in rows])
    table = np.column_stack([np.ones(len(rows)), lengths, difficulties])
    drawn_to, precision = np.array([0.0, known.slope, 1.0]), np.array([TINY, PRECISION, PRECISION])
    terms = drawn_to * [0, 1, 1]
    for _ in range(STEPS):
        chances = expit(table @ terms)
        step = np.linalg.solve(
            _curvature(table, chances, precision), table.T @ (shares - chances) - precision * (terms - drawn_to)
        )
        largest = float(np.abs(step).max())
        terms = terms + min(1.0, 4.0 / max(largest, 1e-300)) * step
        if largest < 1e-12:
            break
    equal = table * [1, 0, 1]
    wins = expit(equal @ terms)
    chances = expit(table @ terms)
    by_terms = equal.T @ (wins * (1 - wins)) / len(rows)
    moved = (table * (shares - chances)[:, None]) @ np.linalg.solve(_curvature(table, chances, precision), by_terms)
    _, cluster = np.unique([row.question for row in rows], return_inverse=True)
    spread = np.bincount(cluster, (wins - wins.mean()) / len(rows) + moved)
    values = 100 * (wins.mean() + (spread - spread.mean()) * len(spread))
    return estimate_of_values(values, (0.0, 100.0), len(rows))


def _curvature(table: Floats, chances: Floats, precision: Floats) -> Floats:
    """Minus the second derivative of the penalised log-likelihood."""
    matrix: Floats = (table * (chances * (1 - chances))[:, None]).T @ table + np.diag(precision)
    return matrix
