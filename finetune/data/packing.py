"""Best-fit-decreasing packing: documents into rows of at most `capacity` tokens."""

from collections import defaultdict

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def pack_documents(lengths: Ints, capacity: int) -> list[Ints]:
    """Pack documents into rows, best fit first, longest document first.

    Each document goes into the row with the least room that still holds it (Johnson et al. 1974,
    "Worst-case performance bounds for simple one-dimensional packing algorithms"). Documents of equal
    length are placed as one group, so the work grows with the number of distinct lengths, not with the
    number of documents.

    Args:
        lengths: (N,) tokens of each document, each from 1 to `capacity`.
        capacity: tokens of a row.

    Returns:
        One array of document indices per row, longest document first; ties keep their order.
    """
    if lengths.size == 0:
        return []
    assert lengths.min() >= 1 and lengths.max() <= capacity
    order = np.argsort(-lengths, kind="stable")
    sizes, starts, counts = np.unique(-lengths[order], return_index=True, return_counts=True)
    rows = _Rows(lengths.size, capacity)
    for size, start, count in zip((-sizes).tolist(), starts.tolist(), counts.tolist(), strict=True):
        rows.place(size, start, start + count)
    by_row = order[np.argsort(rows.row_of, kind="stable")]
    ends = np.cumsum(np.bincount(rows.row_of)).tolist()
    return [by_row[start:end] for start, end in zip([0, *ends], ends, strict=False)]  # np.split takes ten times as long


class _Rows:
    """Rows by the room they have left; documents are known by their place in the decreasing order."""

    def __init__(self, documents: int, capacity: int) -> None:
        self.row_of = np.empty(documents, dtype=np.int64)
        self._capacity = capacity
        self._count = 0
        self._by_room: defaultdict[int, list[int]] = defaultdict(list)
        self._rooms = 0  # bit r is set while some row has room r

    def place(self, size: int, start: int, end: int) -> None:
        """Place documents start..end, all of one size."""
        while start < end:
            fitting = self._rooms >> size
            room = size + (fitting & -fitting).bit_length() - 1 if fitting else self._capacity
            # A row that can take the size again is again the best fit, so it is filled while it lasts.
            each = room // size
            rows = self._take(room, -(-(end - start) // each)) if fitting else self._open(-(-(end - start) // each))
            stop = min(end, start + each * len(rows))
            self.row_of[start:stop] = np.repeat(np.array(rows, dtype=np.int64), each)[: stop - start]
            in_last = stop - start - each * (len(rows) - 1)
            self._put(rows[:-1], room - each * size)
            self._put(rows[-1:], room - in_last * size)
            start = stop

    def _open(self, count: int) -> list[int]:
        self._count += count
        return list(range(self._count - count, self._count))

    def _take(self, room: int, most: int) -> list[int]:
        waiting = self._by_room[room]
        taken = waiting[-most:]
        del waiting[-most:]
        if not waiting:
            self._rooms &= ~(1 << room)
        return taken

    def _put(self, rows: list[int], room: int) -> None:
        if rows and room > 0:
            self._by_room[room].extend(rows)
            self._rooms |= 1 << room
