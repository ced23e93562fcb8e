"""The leaderboard of people's votes: Bradley-Terry ratings of models that met in pairs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.judging.judgments import read_judgments
from eval.numbers.bradley_terry import fit_ratings
from eval.numbers.outcomes import Outcome, outcomes, winner, without_duplicates
from eval.results import Estimate


@dataclass(frozen=True, slots=True)
class ArenaRow:
    """One model.

    Attributes:
        model: its name.
        rank: one more than the models that are surely better: whose interval lies above this one's (as in Chatbot
            Arena); None while there are no ratings.
        rating: on the Elo scale; None while not all models have met, even through others.
        wins, ties, losses: votes.
    """

    model: str
    rank: int | None
    rating: Estimate | None
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True, slots=True)
class ArenaBoard:
    """All models, the best first.

    Attributes:
        votes: how many count.
        connected: whether all models have met, if only through others, so that they have one scale.
        rows: one a model.
    """

    votes: int
    connected: bool
    rows: tuple[ArenaRow, ...]


def arena_board(folder: Path) -> ArenaBoard:
    """The board of a folder of votes; one of no votes where there are none yet.

    Raises:
        UserError: the file of votes is broken.
    """
    path = folder / "judgments" / "pairwise" / "human.jsonl"
    if not path.exists():
        return ArenaBoard(0, True, ())
    judgments, _ = without_duplicates(read_judgments(path))
    found = [item for item in outcomes(judgments) if item.scores and len(item.models) == 2]
    models = sorted({model for item in found for model in item.models})
    rated = fit_ratings(models, found)
    counts = _counts(found)
    rows = [
        ArenaRow(
            model,
            _rank(rated.models, model) if rated else None,
            rated.models[model] if rated else None,
            *(counts[model, result] for result in (1, 0, -1)),
        )
        for model in models
    ]
    rows.sort(key=lambda row: (-row.rating.mean if row.rating else 0.0, -row.wins, row.model))
    return ArenaBoard(len(found), rated is not None or not models, tuple(rows))


def _counts(found: Sequence[Outcome]) -> Counter[tuple[str, int]]:
    """Votes by model and result: 1 for a win, 0 for a tie, -1 for a loss."""
    counts: Counter[tuple[str, int]] = Counter()
    for item in found:
        assert item.scores is not None
        won = winner(item.scores)
        first, second = item.models
        counts[first, won] += 1
        counts[second, -won] += 1
    return counts


def _rank(ratings: dict[str, Estimate], model: str) -> int:
    own = ratings[model]
    if own.high is None:  # a single vote says nothing for sure
        return 1
    return 1 + sum(other.low is not None and other.low > own.high for other in ratings.values())
