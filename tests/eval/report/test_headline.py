"""Headlines say no more than the numbers."""

from dataclasses import replace

from eval.numbers.summarise import summarise
from eval.report.headline import headline
from tests.eval.known_judgments import QUESTIONS, graded, paired, said, single


def test_headlines_say_no_more_than_the_numbers() -> None:
    assert headline(single(2)).startswith("b beats a by 1.98 points of 10 (95% interval 1.")
    assert "cannot be told apart" in headline(single(0))
    assert headline(summarise("t", QUESTIONS, said("x", "y"), paired("alpaca", 0.9))).startswith("x beats y: win rate")
    assert headline(summarise("t", QUESTIONS, said("x", "y"), paired("alpaca", 0.5))).startswith("x and y cannot be")
    assert headline(summarise("t", QUESTIONS, said("x", "y"), paired("vicuna", 0.05))).startswith("x loses to y: relat")
    clear = single(2)
    one_of_many = replace(clear.boards[0].differences[0], settled=False, p_adjusted=0.08)
    corrected = replace(clear, boards=(replace(clear.boards[0], differences=(one_of_many,)),))
    assert headline(corrected).endswith("paired by question; p = 0.08 after correction for all differences).")
    shifts = {"a": 1, "b": 3, "c": -1, "d": 1}
    four = [one for place, (label, shift) in enumerate(shifts.items()) for one in graded(label, shift, seed=place)]
    assert headline(summarise("t", QUESTIONS, said(*"abcd"), four)) == (
        "a beats c, loses to b, cannot be told apart from d (3 differences tested, corrected for that)."
    )
    unparsed = [replace(one, scores=None) for one in graded("a", 0)]
    assert headline(summarise("t", QUESTIONS, said("a"), unparsed)).startswith("Nothing was judged")
