"""Verdicts in Vicuna's `8 9` form are read right or not at all."""

import pytest

from eval.judging.modes.vicuna import parse_pair


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("8 9\nBoth are fine.", (8, 9)),
        ("8.5, 7\n", (8.5, 7)),
        ("8/10 9/10\n", (8, 9)),
        ("0 9", (0, 9)),
        ("The points are (2, -2) and (10, 4).\nAssistant 1: 10\nAssistant 2: 4\nSo 1 is better.", (10, 4)),
        ("Assistant 1:\n1. The first step is right.\n\nScores:\nAssistant 1: 1/10\nAssistant 2: 2/10", (1, 2)),
        ("Therefore the scores are (1, 5) for both.", (1, 5)),
        ("Assistant 1: 3\nAssistant 2: 4\nOutput: (4, 3)", None),
        ("Assistant 1: 3\nAssistant 1: 4\nAssistant 2: 4", None),
        ("Assistant 1: 8", None),
        ("8 11\n", None),
        ("8 9 7\n", None),
        ("80 90\n", None),
        ("Both are fine.", None),
    ],
)
def test_pairs(text: str, pair: tuple[float, float] | None) -> None:
    assert parse_pair(text, {}) == pair
