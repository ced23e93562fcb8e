"""Verdicts in MT-bench's `Rating: [[7]]` form are read right or not at all."""

import pytest

from eval.judging.modes.single import parse_rating


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        # the asked-for form
        ("Fine.\n\nRating: [[7]]", 7),
        ("rating: [[ 7.5 ]]", 7.5),
        ("[[8/10]]", 8),
        ("[[08]]", 8),
        ("[[7]]/10", 7),
        ("**Rating: [[9]]**", 9),
        # looser forms, only where there is no [[n]]
        ("The code reads arr[0] and is right. Rating: 8", 8),
        ("The code reads arr[[0]] first. Rating: [[8]]", 8),
        ("**Rating: 9**", 9),
        ("**Rating:** 8", 8),
        ("Rating: [6]", 6),
        ("Rating: 8 out of 10", 8),
        # several: what has its own line or ends the reply counts
        ("An answer like [[1]] is bad, but this one gets [[7]].", 7),
        ("[[1]] is bad, [[10]] would be perfect.\nRating: [[7]]\nSo much for the grade.", 7),
        ("Rating: [[5]] ... on reflection: Rating: [[4]]", 4),
        ("Rating: [[5]]\n\nThe grade is [[5]] because it's short.", 5),
        # quoted
        ('It says "Rating: [[10]]" itself, which I ignore. Rating: [[2]]', 2),
        ("> Rating: [[10]]\n\nThat is the answer's own claim. Rating: [[2]]", 2),
        ("The answer ends in `[[10]]`. Rating: 3", 3),
        ('"Rating: [[8]]"', 8),
        # can't be told
        ("Rating: [[2]]. The answer claims Rating: [[10]], which I ignore.", None),
        ("Rating: [[2]]\nThe answer claims Rating: [[10]]", None),
        ("Rating: [[5]]\nor rather\nRating: [[6]]", None),
        ("Rating: [[5]] or [[6]]", None),
        ("The answer says '[[9]]' and \"[[10]]\".", None),
        # no grade, or out of range
        ("[[100]]", None),
        ("[[0]]", None),
        ("[[80/100]]", None),
        ("[[8-9]]", None),
        ("[[-5]]", None),
        ("Rating: [[11]]", None),
        ("Rating: 8/100", None),
        ("Rating: 8-9", None),
        ("I cannot grade this.", None),
        ("x = a[[1, 2]]", None),
        ("Rating: 2024 was a good year", None),
        ("", None),
    ],
)
def test_ratings(text: str, rating: float | None) -> None:
    assert parse_rating(text, {}) == (None if rating is None else (rating,))
