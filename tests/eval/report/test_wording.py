"""Numbers and what they settle, in words."""

from eval.report import wording
from eval.results import Difference, Estimate


def test_numbers_read_well() -> None:
    assert wording.format_number(-0.004) == "0.00" and wording.format_number(-1234.5, 1) == "\N{MINUS SIGN}1,234.5"
    assert wording.format_number(0.25, 2, signed=True) == "+0.25"
    assert wording.format_interval(Estimate(1, -0.5, 2, 0.1, 3, 3), 1) == "\N{MINUS SIGN}0.5 to 2.0"
    assert wording.format_interval(Estimate(1, None, None, None, 1, 1)) == "one question: no interval"
    assert (
        wording.format_p_value(0.0001).replace("\xa0", " ") == "p < 0.001" and wording.format_p_value(None) == "no test"
    )
    assert wording.format_share(3, 12) == "3 of 12 (25%)" and wording.format_share(0, 0) == "0 of 0"


def test_what_a_comparison_settles_reads_well() -> None:
    def said(needed: int | None, detectable: float | None, settled: bool = False) -> list[str]:
        gap = Estimate(4.8, None, None, None, 40, 40)
        one = Difference("a", "b", gap, 0.2, 0.2, settled, needed, detectable, 5.0)
        return [wording.format_verdict(one), wording.format_power(one, 1)]

    found = "these 40 find a gap of 8.0 in 4 of 5 cases; one of 5 would take about 1,100 questions"
    assert said(1_100, 8.04) == ["not settled", found]
    assert said(20, 8.0, settled=True) == ["settled", ""]
    assert said(None, None) == said(2, 1e-40) == ["not settled", ""]
