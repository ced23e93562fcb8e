"""Intervals against closed forms and planted truths; tests against scipy and exact counts."""

from collections.abc import Iterable
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from eval.numbers.stats import (
    detectable_gap,
    equally_weighted,
    estimate_of_differences,
    estimate_of_values,
    holm,
    paired_difference,
    planned_questions,
    ratio_estimate,
    score_estimate,
)
from eval.results import Estimate

GRADES = (1.0, 10.0)
ANY = (-100.0, 100.0)
RATIOS = (0.0, 1000.0)


def relative(pairs: Iterable[Iterable[float]]) -> Estimate:
    """Vicuna's relative score from a grade of either model for each question."""
    scores = {str(place): [(100.0 * own, float(theirs))] for place, (own, theirs) in enumerate(pairs)}
    found = ratio_estimate(scores, RATIOS, 100.0)
    assert found is not None
    return found


def p_value(values: NDArray[np.float64]) -> float | None:
    return estimate_of_differences(values, len(values), ANY)[1]


def test_matches_the_normal_interval_on_independent_scores() -> None:
    values = np.random.default_rng(1).normal(6, 2, 400)
    got = score_estimate(equally_weighted({str(index): [float(value)] for index, value in enumerate(values)}), GRADES)
    assert got is not None and got.low is not None and got.high is not None and got.error is not None
    margin = 1.96 * values.std(ddof=1) / np.sqrt(values.size)
    assert got.mean == pytest.approx(values.mean())
    assert (got.low, got.high) == pytest.approx((values.mean() - margin, values.mean() + margin), abs=0.03)
    assert got.error == pytest.approx(values.std(ddof=1) / np.sqrt(values.size), rel=1e-12)
    assert (got.count, got.questions) == (400, 400)


def test_copies_of_a_score_add_no_certainty() -> None:
    values = np.random.default_rng(2).integers(1, 11, 60)
    single = score_estimate(
        equally_weighted({str(index): [float(value)] for index, value in enumerate(values)}), GRADES
    )
    double = score_estimate(
        equally_weighted({str(index): [float(value)] * 2 for index, value in enumerate(values)}), GRADES
    )
    assert single is not None and double is not None
    assert (double.mean, double.low, double.high) == pytest.approx((single.mean, single.low, single.high))


@pytest.mark.parametrize("questions", [10, 20, 80])
def test_coverage_with_planted_correlation_within_questions(questions: int) -> None:
    """Two scores a question, correlated 0.7: 93 to 97% of 1,000 intervals hold the truth, also with few questions."""
    rng, hits, naive = np.random.default_rng(questions), 0, 0
    for _ in range(1000):
        shared = rng.normal(0, np.sqrt(0.7), questions)[:, None]
        scores = 6 + 1.5 * (shared + rng.normal(0, np.sqrt(0.3), (questions, 2)))
        got = score_estimate(equally_weighted({str(i): list(row) for i, row in enumerate(scores)}), GRADES)
        assert got is not None and got.low is not None and got.high is not None
        hits += got.low <= 6 <= got.high
        flat = scores.ravel()
        naive += abs(flat.mean() - 6) <= 1.96 * flat.std(ddof=1) / np.sqrt(flat.size)
    assert 930 <= hits <= 970
    assert naive < 900  # what taking the scores for independent would do


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("questions", [80, 160])
def test_coverage_of_win_rates_judged_in_both_orders(rate: float, questions: int) -> None:
    rng, hits = np.random.default_rng(round(100 * rate) + questions), 0
    for _ in range(2000):
        own = rng.random(questions) < rate
        kept = rng.random((questions, 2)) < 0.7
        wins = np.where(kept, own[:, None], rng.random((questions, 2)) < rate).astype(float)
        got = score_estimate(equally_weighted({str(i): list(row) for i, row in enumerate(wins)}), (0.0, 1.0))
        assert got is not None and got.low is not None and got.high is not None
        hits += got.low <= rate <= got.high
    assert 0.93 <= hits / 2000 <= 0.97


@pytest.mark.slow
def test_coverage_of_differences() -> None:
    rng, hits, alarms = np.random.default_rng(4), 0, 0
    for _ in range(1000):
        hard = rng.normal(0, 2, 40)[:, None]
        first, second = (5 + hard + rng.normal(0, 1, (40, 2)) for _ in range(2))
        sides = [equally_weighted({str(i): list(row) for i, row in enumerate(side)}) for side in (first, second)]
        found = paired_difference(*sides, GRADES)
        assert found is not None
        gap, p = found
        assert gap.low is not None and gap.high is not None and p is not None
        hits += gap.low <= 0 <= gap.high
        alarms += p < 0.05
    assert 930 <= hits <= 970 and 30 <= alarms <= 70


def test_no_variation_is_not_certainty() -> None:
    """20 wins of 20: the lower end is Clopper and Pearson's, not 100%."""
    got = score_estimate(equally_weighted({str(i): [100.0] for i in range(20)}), (0.0, 100.0))
    assert got is not None
    exact = stats.binomtest(20, 20).proportion_ci(method="exact")
    assert got.low == pytest.approx(100 * exact.low) and got.high == 100


def test_a_ratio_of_sums() -> None:
    """Vicuna's relative score weighs each question by the baseline's grade."""
    got = relative([(4, 8), (9, 9), (5, 10)])
    assert got.mean == pytest.approx(100 * 18 / 27) and got.count == got.questions == 3
    alone, none = relative([(4, 8)]), ratio_estimate({"a": [(0.0, 0.0)]}, RATIOS, 100.0)
    assert (alone.mean, alone.low, alone.high) == (50, None, None) and none is None


@pytest.mark.parametrize("questions", [10, 20, 80])
@pytest.mark.parametrize("harsh", [False, True])
def test_coverage_of_a_ratio_of_sums(questions: int, harsh: bool) -> None:
    """Whole grades of two models, both better at easy questions; a harsh judge gives 1 to a tenth of the answers."""
    rng, hits = np.random.default_rng(questions + harsh), 0

    def grades(count: int) -> NDArray[np.float64]:
        given = rng.normal(7, 1.2, count)[:, None] + rng.normal((0.6, 0.0), 1.0, (count, 2))
        given[rng.random((count, 2)) < 0.1 * harsh] = 1
        return np.clip(given.round(), 1, 10)

    many = grades(1_000_000).sum(axis=0)
    truth = 100 * many[0] / many[1]
    for _ in range(1000):
        got = relative(grades(questions))
        assert got.low is not None and got.high is not None
        hits += got.low <= truth <= got.high
    assert 925 <= hits <= 975


def test_a_ratio_is_the_same_whichever_is_on_top() -> None:
    pairs = np.random.default_rng(5).integers(3, 10, (30, 2)).astype(float)
    one, other = relative(pairs), relative(pairs[:, ::-1])
    assert one.low is not None and one.high is not None
    assert (other.low, other.high) == pytest.approx((10_000 / one.high, 10_000 / one.low))


def test_a_ratio_excludes_what_students_t_rejects() -> None:
    pairs = np.random.default_rng(6).integers(2, 11, (12, 2)).astype(float)
    got = relative(pairs)
    for end in (got.low, got.high):
        assert end is not None
        assert stats.ttest_1samp(pairs[:, 0] - end / 100 * pairs[:, 1], 0).pvalue == pytest.approx(0.05)


@pytest.mark.parametrize("questions", [2, 5, 6, 10, 80])
@pytest.mark.parametrize("pair", [(8, 6), (6, 8), (7, 7), (0, 9)])
def test_a_ratio_that_never_varies(questions: int, pair: tuple[float, float]) -> None:
    """Ten questions of 8:6 settle which is better: their signs alone have p = 0.002."""
    got = relative([pair] * questions)
    assert got.low is not None and got.high is not None and got.low <= got.mean <= got.high
    settled = questions >= 6 and pair[0] != pair[1]
    assert settled == (not got.low <= 100 <= got.high)
    if (questions, pair) == (10, (8, 6)):
        seen = stats.binomtest(10, 10).proportion_ci(method="exact").low
        assert (got.low, got.high) == pytest.approx((100 + 100 / 3 * seen, 400 / 3 / seen))


def test_a_baseline_that_may_be_nothing_leaves_the_ratio_open() -> None:
    assert (relative([(5, 0), (4, 9)]).low, relative([(5, 0), (4, 9)]).high) == RATIOS


def test_pairing_and_nothing() -> None:
    first = equally_weighted({"a": [3.0, 5.0], "b": [6.0], "c": [9.0]})
    second = equally_weighted({"a": [2.0], "b": [5.0], "d": [1.0]})
    found = paired_difference(first, second, GRADES)
    assert found is not None
    gap, _ = found
    assert gap.questions == 2 and gap.mean == pytest.approx(14 / 3 - 7 / 2)
    assert (
        score_estimate({}, GRADES) is None
        and score_estimate({"a": []}, GRADES) is None
        and paired_difference(first, {}, GRADES) is None
    )
    alone = score_estimate(equally_weighted({"a": [3.0, 5.0]}), GRADES)
    assert alone is not None and (alone.mean, alone.low, alone.high, alone.error) == (4.0, None, None, None)


def test_sign_flips_are_counted_exactly() -> None:
    values = np.array([0.3, -0.2, 1.1, 0.8, 0.0, 2.0])
    flips = [abs(np.dot(signs, values)) for signs in product((-1, 1), repeat=6)]
    expected = sum(total >= abs(values.sum()) - 1e-9 for total in flips) / 64
    assert p_value(values) == pytest.approx(expected)
    assert p_value(np.zeros(5)) == 1.0 and p_value(np.array([1.0])) is None
    assert p_value(np.ones(6)) == pytest.approx(2 / 64)


def test_many_questions_are_a_t_test() -> None:
    values = np.random.default_rng(6).normal(0.1, 1, 300)
    assert p_value(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-12)
    few = values[:50]
    assert p_value(few) == pytest.approx(stats.ttest_1samp(few, 0).pvalue, abs=0.02)


def test_holm() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])


def test_power_is_what_a_simulation_finds() -> None:
    """130 questions for a gap of 0.5: (1.96 + 0.84)^2 x 2^2 / 0.5^2 = 125.6, to two digits."""
    needed = planned_questions(0.5, 2 / np.sqrt(80), 80)
    assert needed == 130
    assert detectable_gap(2 / np.sqrt(80)) == pytest.approx(2.8016 * 2 / np.sqrt(80), rel=1e-3)
    rng = np.random.default_rng(7)
    found = [stats.ttest_1samp(rng.normal(0.5, 2, needed), 0).pvalue < 0.05 for _ in range(2000)]
    assert 0.77 <= np.mean(found) <= 0.84
    assert [planned_questions(gap, 1.0, 100) for gap in (0.5, 0.05)] == [3200, 320000]
    assert planned_questions(1.0, 0.0, 80) is planned_questions(1.0, None, 1) is detectable_gap(None) is None


@pytest.mark.parametrize(("rate", "questions"), [(0.01, 805), (0.02, 805), (0.01, 160), (0.05, 80)])
@pytest.mark.parametrize("orders", [1, 2])
def test_coverage_of_rare_wins(rate: float, questions: int, orders: int) -> None:
    """8 wins of 805 are few: an interval that is symmetric about them, or resamples them, holds the truth in 90%."""
    rng, hits = np.random.default_rng(805), 0
    for _ in range(1000):
        own = rng.random(questions) < rate
        kept = rng.random((questions, orders)) < (0.7 if orders == 2 else 1.0)
        wins = np.where(kept, own[:, None], rng.random((questions, orders)) < rate).mean(axis=1)
        got = estimate_of_values(100 * wins, (0.0, 100.0), questions)
        assert got.low is not None and got.high is not None
        hits += got.low <= 100 * rate <= got.high
    assert 930 <= hits <= 985


def test_a_win_rate_has_wilsons_interval() -> None:
    wins = np.array([100.0] * 8 + [0.0] * 797)
    got = estimate_of_values(wins, (0.0, 100.0), 805)
    theirs = stats.binomtest(8, 805).proportion_ci(method="wilson")
    assert (got.low, got.high) == pytest.approx((100 * theirs.low, 100 * theirs.high), rel=0.01)


@pytest.mark.parametrize("questions", [6, 10, 30, 50, 51, 80])
def test_interval_and_p_value_are_one_test(questions: int) -> None:
    """0 is outside exactly where p < 0.05; and where nothing is, the false alarms are 5%."""
    rng, alarms = np.random.default_rng(questions), 0
    for trial in range(400):
        values = rng.integers(-1, 2, questions) + rng.choice([0.0, 0.3]) if trial % 2 else rng.normal(0, 1, questions)
        got, p = estimate_of_differences(values, questions, ANY)
        assert got.low is not None and got.high is not None and p is not None
        assert (p < 0.05) == (not got.low <= 0 <= got.high) and got.low <= got.mean <= got.high
        alarms += p < 0.05 and trial % 2 == 0
    assert alarms <= 20  # of 200


def test_sign_flips_inverted_by_trying() -> None:
    """Just inside the interval a mean is not rejected, just outside it is."""
    values = np.random.default_rng(3).normal(0.4, 1, 12)
    got, _ = estimate_of_differences(values, 12, ANY)
    assert got.low is not None and got.high is not None
    for end, outward in ((got.low, -1e-6), (got.high, 1e-6)):
        inside, outside = (p_value(values - end - shift) for shift in (-outward, outward))
        assert inside is not None and outside is not None and inside >= 0.05 > outside


@pytest.mark.parametrize("questions", [3, 5, 6, 30, 60])
@pytest.mark.parametrize("constant", [1.0, -0.2, 0.0])
def test_differences_that_never_vary(questions: int, constant: float) -> None:
    got, p = estimate_of_differences(np.full(questions, constant), questions, (-9.0, 9.0))
    assert p == (2.0 ** (1 - questions) if constant else 1.0)
    assert got.low is not None and got.high is not None and got.low < constant < got.high
    assert (p < 0.05) == (not got.low <= 0 <= got.high)


def test_too_few_questions_exclude_nothing() -> None:
    got, p = estimate_of_differences(np.array([1.0, 2.0, 3.0]), 3, (-9.0, 9.0))
    assert (got.low, got.high, p) == (-9.0, 9.0, 0.25)
