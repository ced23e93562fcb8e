"""What a way to find duplicates is: a sketch of each part, one decision over all, and what goes of each part."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from corpus.reader import ReadCounts
from corpus.record import TextRecord

Removed = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PartFiles:
    """Where a part is and what is known of it.

    Attributes:
        texts: its records.
        sketch: `.npz`, what `sketch` gave.
        removed: `.npy`, what `decide` gave: of each line or document whether it goes.
    """

    texts: Path
    sketch: Path
    removed: Path


class DedupWay(Protocol):
    """A way to find duplicates. What it decides depends on the texts and their order, not on how work is shared out."""

    def sketch(self, records: Iterable[TextRecord]) -> dict[str, npt.NDArray[Any]]:
        """What must be known of a part's texts, in their order."""
        ...

    def decide(self, parts: Sequence[PartFiles]) -> Iterator[Removed]:
        """What goes, part by part."""
        ...

    def apply(self, records: Iterable[TextRecord], removed: Removed, counts: ReadCounts) -> Iterator[TextRecord]:
        """What is left of a part; documents that go are counted, and lines, those that stay, too."""
        ...
