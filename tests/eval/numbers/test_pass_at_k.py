"""pass@k equals the published estimator and what counting all choices of k samples says; intervals are by problem."""

from itertools import combinations

import numpy as np
import pytest

from eval.ask.answer import Answer
from eval.ask.code_task import CodeTask
from eval.ask.tasks.read import task_questions
from eval.numbers.outcomes import Outcome
from eval.numbers.pass_at_k import measure_programs, pass_at_k
from eval.numbers.stats import estimate_of_values


def published(n: int, c: int, k: int) -> float:
    """Chen et al. 2021, figure 3."""
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def test_it_is_the_published_estimator() -> None:
    for n in (1, 2, 5, 10, 20, 100, 200, 1000):
        for c in {0, 1, 2, n // 3, n // 2, n - 1, n}:
            for k in {1, 2, 5, 10, 100, n}:
                if c <= n and k <= n:
                    assert abs(pass_at_k(n, c, k) - published(n, c, k)) <= 1e-12, (n, c, k)


@pytest.mark.parametrize("n", range(1, 9))
def test_it_is_the_share_of_all_choices(n: int) -> None:
    for c in range(n + 1):
        for k in range(1, n + 1):
            choices = list(combinations([index < c for index in range(n)], k))
            assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, choices)) / len(choices), abs=1e-15)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 1, 6), (5, 6, 1), (5, -1, 1), (5, 1, 0)])
def test_it_is_not_defined(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="not defined"):
        pass_at_k(n, c, k)


def tasks(count: int, **fields: object) -> list[CodeTask]:
    return [CodeTask(str(index), "?", "", "", "", **fields) for index in range(count)]  # type: ignore[arg-type]


def outcomes(passed: list[list[int]]) -> list[Outcome]:
    return [
        Outcome("tests", str(index), turn, ("m",), (float(score),), False, ())
        for index, scores in enumerate(passed)
        for turn, score in enumerate(scores, start=1)
    ]


def test_each_problem_counts_once() -> None:
    passed = [[1] * 5 + [0] * 5, [0] * 10, [1] * 10]
    found = {part.name: part.score for part in measure_programs(task_questions(tasks(3), 10), outcomes(passed), [])}
    assert set(found) == {"pass@5", "pass@10"}
    values = [100 * published(10, sum(scores), 5) for scores in passed]
    expected = estimate_of_values(np.array(values), (0.0, 100.0), 3)
    assert found["pass@5"].mean == pytest.approx(np.mean(values))
    assert (found["pass@5"].low, found["pass@5"].high) == pytest.approx((expected.low, expected.high))
    assert found["pass@10"].mean == pytest.approx(200 / 3) and found["pass@10"].questions == 3


def test_a_problem_with_fewer_samples_leaves_none() -> None:
    passed = [[1] * 5, [0] * 4]
    assert not list(measure_programs(task_questions(tasks(2), 5), outcomes(passed), []))


def test_infilled_text_is_compared() -> None:
    questions = task_questions(tasks(2, infill=True, reference="return x\n"), 1)
    answers = [Answer("0", "m", ("return x",), (False,)), Answer("1", "m", ("return y\n",), (False,))]
    found = {part.name: part.score.mean for part in measure_programs(questions, [], answers)}
    assert found["exact match"] == 50
    # "return x" of 8 and 9 characters: 2 x 8 / 17; "return " and the line end of 9 and 9: 2 x 8 / 18
    assert found["edit similarity"] == pytest.approx((100 * 16 / 17 + 100 * 16 / 18) / 2)
