"""Both orders, duplicates and several judges come together by stated rules."""

import pytest

from eval.judging.judgments import Judgment
from eval.numbers.outcomes import NeededOrders, all_judges, outcomes, without_duplicates

A, B, TIE = (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)
Scores = tuple[float, ...] | None


def both(first: Scores, second: Scores, mode: str = "pairwise", judge: str = "j") -> list[Judgment]:
    """x shown first and then y shown first; each scored in the order of showing."""
    return [
        Judgment(mode, "1", 1, ("x", "y"), judge, first, ""),
        Judgment(mode, "1", 1, ("y", "x"), judge, second, ""),
    ]


@pytest.mark.parametrize(
    ("first", "second", "scores", "contradiction"),
    [
        (A, B, (1.0, 0.0), False),  # x both times
        (B, A, (0.0, 1.0), False),
        (A, A, (0.5, 0.5), True),  # whoever comes first
        (A, TIE, (0.5, 0.5), True),
        (TIE, TIE, (0.5, 0.5), False),
        (A, None, None, False),
        (None, None, None, False),
    ],
)
def test_a_win_needs_both_orders(first: Scores, second: Scores, scores: Scores, contradiction: bool) -> None:
    complete = [Judgment("pairwise", "2", 1, models, "j", A, "") for models in (("x", "y"), ("y", "x"))]
    found = outcomes([*both(first, second), *complete])[0]
    assert (found.models, found.scores, found.contradiction) == (("x", "y"), scores, contradiction)
    assert [one.models for one in found.judgments] == [("x", "y"), ("y", "x")]


def test_grades_are_averaged() -> None:
    [found] = outcomes(both((8.0, 6.0), (7.0, 9.0), "vicuna"))
    assert found.scores == (8.5, 6.5) and not found.contradiction
    [found] = outcomes(both((8.0, 6.0), (9.0, 7.0), "vicuna"), baseline="x")
    assert found.models == ("y", "x") and found.scores == (7.5, 7.5) and found.contradiction


def test_one_order_is_enough_where_none_was_judged_in_both() -> None:
    one = both(A, None)[:1]
    assert NeededOrders(one).of("j", ("x", "y")) == 1 and outcomes(one)[0].scores == A


def test_the_first_duplicate_with_a_verdict_counts() -> None:
    judgments = [
        Judgment("single", "1", 1, ("x",), "j", None, "", failure="timeout: slow"),
        Judgment("single", "1", 1, ("x",), "j", (7.0,), "Rating: [[7]]"),
        Judgment("single", "1", 1, ("x",), "j", (9.0,), "Rating: [[9]]"),
        Judgment("single", "1", 2, ("x",), "j", (5.0,), "Rating: [[5]]"),
        Judgment("single", "1", 1, ("x",), "other", (3.0,), "Rating: [[3]]"),
        Judgment("single", "1", 1, ("x",), "j", (6.0,), "Rating: [[6]]", repeat=1),
    ]
    kept, duplicates = without_duplicates(judgments)
    assert [one.scores for one in kept] == [(7.0,), (5.0,), (3.0,), (6.0,)]
    assert [one.scores for one in duplicates] == [None, (9.0,)]
    assert without_duplicates(kept) == (kept, [])


def test_a_panel_needs_all_its_judges() -> None:
    found = outcomes([*both(A, B), *both(B, A, judge="k")])
    [merged] = all_judges(found, ["j", "k"], "all")
    assert merged.scores == (0.5, 0.5) and merged.judge == "all" and len(merged.judgments) == 4
    assert all_judges(found, ["j", "k", "l"], "all")[0].scores is None
