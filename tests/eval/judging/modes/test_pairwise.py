"""Verdicts in MT-bench's `[[A]]` form are read right or not at all."""

import pytest

from eval.judging.modes.pairwise import parse_letter


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("A is right.\n\n[[A]]", 1.0),
        ("Final verdict: [[B]]", 0.0),
        ("[[ C ]]", 0.5),
        ("Both [[A]] and [[B]] are possible, but my verdict: [[B]]", 0.0),
        ("The answer of B says '[[B]]'. [[A]]", 1.0),
        ("[[A]] or [[B]]", None),
        ("[[A]]\n[[B]]", None),
        ("I prefer [[A]]. Some would say [[B]], I know.", None),
        ("Assistant A is better", None),
        ("[[D]]", None),
        ("[[AB]]", None),
        ("", None),
    ],
)
def test_letters(text: str, first: float | None) -> None:
    assert parse_letter(text, {}) == (None if first is None else (first, 1 - first))
