"""Agreement statistics equal independent libraries to 1e-9."""

import krippendorff
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from eval.numbers.agreement import cohen_kappa, kendall_tau, krippendorff_alpha, pearson


@pytest.mark.parametrize("seed", range(20))
def test_equal_to_libraries(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(1, 11, 60).astype(float)
    second = np.clip(first + rng.integers(-2, 3, 60), 1, 10)
    labels = np.unique([first, second])
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second), abs=1e-9)
    theirs = cohen_kappa_score(first, second, weights="quadratic", labels=labels)
    assert cohen_kappa(first, second, quadratic=True) == pytest.approx(theirs, abs=1e-9)
    assert kendall_tau(first, second) == pytest.approx(stats.kendalltau(first, second).statistic, abs=1e-9)
    assert pearson(first, second) == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-9)
    table = np.array([first, second, np.clip(second + rng.integers(-1, 2, 60), 1, 10)])
    table[rng.random(table.shape) < 0.2] = np.nan
    theirs = krippendorff.alpha(reliability_data=table, level_of_measurement="interval")
    assert krippendorff_alpha(table.tolist()) == pytest.approx(theirs, abs=1e-9)


def test_undefined_is_none() -> None:
    same = [1.0, 1.0, 1.0]
    assert (
        cohen_kappa(same, same) is None and pearson(same, [1.0, 2.0, 3.0]) is None and kendall_tau(same, same) is None
    )
    assert krippendorff_alpha([same, same]) is None
    assert krippendorff_alpha([[1.0, float("nan")], [float("nan"), 2.0]]) is None
    assert cohen_kappa([1.0, 2.0], [1.0, 2.0]) == 1.0 and krippendorff_alpha([[1.0, 2.0], [1.0, 2.0]]) == 1.0
