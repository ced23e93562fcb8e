"""How an answer is written, beside what it says: length, headers, lists, bold words."""

import re
from collections.abc import Mapping, Sequence

from eval.numbers.bradley_terry import Covariates, Ratings, fit_ratings
from eval.numbers.outcomes import Outcome

NAMES = ("length", "headers", "lists", "bold")

# As Arena-Hard and Chatbot Arena count them: Markdown elements, not those inside code (Li, Angelopoulos & Chiang 2024).
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_HEADER = re.compile(r"^#{1,6}\s", re.MULTILINE)
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s", re.MULTILINE)
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")

Style = tuple[int, int, int, int]


def style_of(text: str) -> Style:
    """Characters, headers, list items and bold stretches."""
    plain = _CODE.sub("", text)
    return len(text), len(_HEADER.findall(plain)), len(_ITEM.findall(plain)), len(_BOLD.findall(plain))


def style_differences(styles: Mapping[tuple[str, str, int], Style]) -> Covariates:
    """The covariates of a game: for each of `NAMES` (first - second) / (first + second), 0 where neither has any.

    Args:
        styles: of the answers by (model, question, turn).
    """

    def of(game: Outcome) -> list[float] | None:
        first, second = (styles.get((model, game.question, game.turn)) for model in game.models)
        if first is None or second is None:
            return None
        return [(one - two) / (one + two) if one + two else 0.0 for one, two in zip(first, second, strict=True)]

    return of


def rate_at_equal_style(
    labels: Sequence[str], outcomes: Sequence[Outcome], styles: Mapping[tuple[str, str, int], Style]
) -> tuple[Ratings, tuple[str, ...]] | None:
    """Ratings of models that write alike, with the names of their covariates: those of `NAMES` in which answers differ.

    Returns:
        None where style can't be told from who wrote, or nothing is known of it.
    """
    differences = style_differences(styles)
    known = [found for game in outcomes if len(game.models) == 2 and game.scores and (found := differences(game))]
    kept = [place for place in range(len(NAMES)) if any(values[place] for values in known)]
    if not kept:
        return None

    def covariates(game: Outcome) -> list[float] | None:
        values = differences(game)
        return None if values is None else [values[place] for place in kept]

    ratings = fit_ratings(labels, outcomes, covariates)
    return None if ratings is None else (ratings, tuple(NAMES[place] for place in kept))
