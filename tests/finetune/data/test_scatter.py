"""A random order of which any part can be asked for: every number once, another for another seed, no pattern in it."""

import numpy as np
import pytest

from finetune.data.scatter import scatter


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 1000, 4097])
def test_every_number_once_whatever_is_asked_first(count: int) -> None:
    order = scatter(np.arange(count), count, 7)
    assert sorted(order.tolist()) == list(range(count))
    parts = [scatter(np.arange(start, min(start + 100, count)), count, 7) for start in range(0, count, 100)]
    assert np.concatenate(parts).tolist() == order.tolist()


def test_orders_of_two_seeds_differ_and_mix() -> None:
    """Each tenth of the places holds a fair share of each tenth of the numbers: within 5 standard deviations."""
    count = 100_000
    orders = [scatter(np.arange(count), count, seed) for seed in range(2)]
    assert np.count_nonzero(orders[0] == orders[1]) < 10
    for order in orders:
        tenths = np.histogram2d(np.arange(count), order, bins=10)[0]
        assert abs(tenths - 1000).max() < 5 * 1000**0.5
        assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.02
