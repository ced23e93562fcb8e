"""Intervals: against the closed form where there is one, and with turns of a question kept together."""

import numpy as np
import pytest

from eval.stats import difference, estimate


def test_matches_the_normal_interval_on_independent_scores() -> None:
    values = np.random.default_rng(1).normal(6, 2, 400)
    got = estimate({str(index): [float(value)] for index, value in enumerate(values)})
    assert got is not None
    margin = 1.96 * values.std(ddof=1) / np.sqrt(values.size)
    assert got.mean == pytest.approx(values.mean())
    assert got.low == pytest.approx(values.mean() - margin, abs=0.03)
    assert got.high == pytest.approx(values.mean() + margin, abs=0.03)
    assert got.count == 400


def test_copies_of_a_score_add_no_certainty() -> None:
    values = np.random.default_rng(2).integers(1, 11, 60)
    single = estimate({str(index): [float(value)] for index, value in enumerate(values)})
    double = estimate({str(index): [float(value)] * 2 for index, value in enumerate(values)})
    assert single is not None and double is not None
    assert (double.mean, double.low, double.high) == pytest.approx((single.mean, single.low, single.high))


def test_coverage_is_about_95_percent() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        shared = rng.normal(0, 1, 50)
        scores = {str(i): [float(5 + shared[i] + e) for e in rng.normal(0, 1, 2)] for i in range(50)}
        got = estimate(scores)
        assert got is not None
        hits += got.low <= 5 <= got.high
    assert 180 <= hits <= 199  # 95% of 200 is 190


def test_pairing_and_nothing() -> None:
    first = {"a": [3.0, 5.0], "b": [6.0], "c": [9.0]}
    second = {"a": [2.0], "b": [5.0], "d": [1.0]}
    got = difference(first, second)
    assert got is not None and (got.mean, got.count) == (1.5, 2)
    assert estimate({}) is None and estimate({"a": []}) is None and difference(first, {}) is None
