"""Which conversations of a scored set are chosen: by bounds of scores, then the best of what is left."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from camelid.errors import UserError
from conversations.scores.score_set import ScoreColumn
from conversations.scores.table import ALL_SCORES


@dataclass(frozen=True)
class ScoreBound:
    """What a score must be for a conversation to stay.

    Attributes:
        name: of the score.
        least, most: the lowest and the highest value that stays.
    """

    name: str
    least: float = float("-inf")
    most: float = float("inf")

    def reason_to_drop(self, value: float | None) -> str | None:
        if value is None:
            return f"no score {self.name}"
        if value < self.least:
            return f"{self.name} below {self.least:g}"
        return f"{self.name} above {self.most:g}" if value > self.most else None


@dataclass(frozen=True)
class Choice:
    """What is asked for.

    Attributes:
        bounds: of scores.
        by: the score that orders what the bounds leave; None for the order of the files.
        top: how many stay of these: a number from 1, or a share below 1; None for all.
    """

    bounds: Sequence[ScoreBound] = ()
    by: str | None = None
    top: float | None = None

    @property
    def names(self) -> list[str]:
        """The scores that it looks at."""
        return list(dict.fromkeys([*(bound.name for bound in self.bounds), *filter(None, [self.by])]))

    def limit(self, count: int) -> int:
        """How many may stay of so many."""
        if self.top is None:
            return count
        return int(self.top) if self.top >= 1 else round(self.top * count)


# From places of conversations, best first, and how many to take, to those that are unlike one another.
KeepUnlike = Callable[[Sequence[int], int], list[int]]


def choose(
    choice: Choice, columns: Mapping[str, ScoreColumn], count: int, keep_unlike: KeepUnlike | None = None
) -> tuple[list[int], Counter[str]]:
    """The places of those that stay, in the order of the files, and why the others don't.

    Of equal scores the first in the files comes first.

    Args:
        choice: what is asked for.
        columns: scores by name, each of all conversations.
        count: how many conversations there are.
        keep_unlike: leaves out, best first, what is too like something better.
    """
    dropped = Counter[str]()
    left = []
    bounds = [*choice.bounds, *([ScoreBound(choice.by)] if choice.by else [])]
    for place in range(count):
        reasons = (bound.reason_to_drop(columns[bound.name][place]) for bound in bounds)
        reason = next(filter(None, reasons), None)
        if reason:
            dropped[reason] += 1
        else:
            left.append(place)
    if choice.by:
        column: Any = columns[choice.by]
        sign = 1 if is_low_best(choice.by) else -1
        left.sort(key=lambda place: sign * column[place])
    limit = choice.limit(len(left))
    stays = keep_unlike(left, limit) if keep_unlike else left[:limit]
    # Where the limit was reached, what stands behind the last one was not looked at.
    looked = len(left) if len(stays) < limit else left.index(stays[-1]) + 1 if stays else 0
    dropped["too like a better one"] += looked - len(stays)
    dropped[f"not among the top {choice.top or 1:g} by {choice.by}"] += len(left) - looked
    return sorted(stays), +dropped


def is_low_best(name: str) -> bool:
    """Whether low values of a score are the good ones; of a score that is not ours, high ones are."""
    return name in ALL_SCORES and ALL_SCORES[name].best == "low"


def read_bounds(least: Sequence[str], most: Sequence[str]) -> list[ScoreBound]:
    """Bounds of `NAME=X`.

    Raises:
        UserError: one is not of that form.
    """
    lowest = [ScoreBound(name, least=value) for name, value in (_bound("min", text) for text in least)]
    return lowest + [ScoreBound(name, most=value) for name, value in (_bound("max", text) for text in most)]


def _bound(option: str, text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise UserError(f"--{option}-score {text!r} must look like NAME=X, for example quality=4") from None
