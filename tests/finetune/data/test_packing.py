"""Packing against a plain one-document-at-a-time best-fit-decreasing."""

import numpy as np
import pytest

from finetune.data.packing import pack_documents


def plain_best_fit(lengths: list[int], capacity: int) -> list[int]:
    """Number of tokens in each row, by the textbook algorithm."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [index for index, room in enumerate(rooms) if room >= length]
        if fitting:
            rooms[min(fitting, key=lambda index: rooms[index])] -= length
        else:
            rooms.append(capacity - length)
    return sorted(capacity - room for room in rooms)


@pytest.mark.parametrize("seed", range(20))
def test_rows_equal_textbook_best_fit(seed: int) -> None:
    random = np.random.default_rng(seed)
    capacity = int(random.integers(8, 100))
    lengths = random.integers(1, capacity + 1, size=int(random.integers(1, 300)))
    rows = pack_documents(lengths, capacity)
    assert sorted(np.concatenate(rows).tolist()) == list(range(lengths.size))
    assert sorted(int(lengths[row].sum()) for row in rows) == plain_best_fit(lengths.tolist(), capacity)


def test_edge_cases() -> None:
    assert pack_documents(np.array([], dtype=np.int64), 10) == []
    assert [row.tolist() for row in pack_documents(np.array([10]), 10)] == [[0]]
    assert len(pack_documents(np.full(7, 3), 9)) == 3


def test_hundred_thousand_lengths_fill_the_rows() -> None:
    random = np.random.default_rng(0)
    lengths = np.clip(random.lognormal(5.5, 1.0, 100_000), 4, 2048).astype(np.int64)
    rows = pack_documents(lengths, 2048)
    assert lengths.sum() / (len(rows) * 2048) >= 0.999
