"""How good a reward model is: how often it prefers what people preferred, by grade and length, and how sure it is."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from conversations.preference import GRADES, Preference

ScoredPair = tuple[Preference, float, float]  # with the scores of the chosen answer and of the rejected one
BINS = 10


@dataclass(frozen=True)
class Accuracy:
    """Of a slice of the pairs.

    Attributes:
        name: of the slice.
        pairs: how many there are.
        accuracy: share of them whose chosen answer has the higher score, a tie counted half; NaN without pairs.
    """

    name: str
    pairs: int
    accuracy: float

    @property
    def error(self) -> float:
        """The standard error of the share."""
        return math.sqrt(self.accuracy * (1 - self.accuracy) / self.pairs) if self.pairs else math.nan


@dataclass(frozen=True)
class Confidence:
    """The pairs that a model is about equally sure of.

    Attributes:
        pairs: how many.
        said: mean probability that it gives its own preference, sigmoid(|difference of scores|).
        accuracy: share of them in which it was right.
    """

    pairs: int
    said: float
    accuracy: float


def accuracies(scored: Sequence[ScoredPair]) -> list[Accuracy]:
    """Of all pairs, of each grade from the clearest, of pairs without one, and by which answer is the longer one."""

    def longer(pair: Preference) -> int:
        return len(pair.chosen.content) - len(pair.rejected.content)

    slices: dict[str, Callable[[Preference], bool]] = {"all pairs": lambda pair: True}
    for grade in reversed(range(len(GRADES))):
        slices[GRADES[grade]] = lambda pair, grade=grade: pair.grade == grade  # type: ignore[misc]
    slices["no grade"] = lambda pair: pair.grade is None
    slices["chosen answer longer"] = lambda pair: longer(pair) > 0
    slices["chosen answer shorter"] = lambda pair: longer(pair) < 0
    found = []
    for name, belongs in slices.items():
        right = [_right(chosen - rejected) for pair, chosen, rejected in scored if belongs(pair)]
        found.append(Accuracy(name, len(right), sum(right) / len(right) if right else math.nan))
    return [each for each in found if each.pairs or each.name == "all pairs"]


def calibration(scored: Sequence[ScoredPair]) -> tuple[list[Confidence], float]:
    """How sure a model is, in ten equal steps from 0.5 to 1, against how often it is right.

    Returns:
        The steps that have pairs, and the expected calibration error (Guo et al. 2017, equation 3).
    """
    steps: list[list[tuple[float, float]]] = [[] for _ in range(BINS)]
    for _, chosen, rejected in scored:
        said = 1 / (1 + math.exp(-abs(chosen - rejected)))
        steps[min(BINS - 1, int((said - 0.5) * 2 * BINS))].append((said, _right(chosen - rejected)))
    found = []
    for step in filter(None, steps):
        said, right = (sum(values) / len(step) for values in zip(*step, strict=True))
        found.append(Confidence(len(step), said, right))
    error = sum(each.pairs * abs(each.said - each.accuracy) for each in found)
    return found, error / len(scored) if scored else math.nan


def _right(difference: float) -> float:
    return 1.0 if difference > 0 else 0.5 if difference == 0 else 0.0
