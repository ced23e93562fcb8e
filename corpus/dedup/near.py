"""Documents that are nearly the same as one before: MinHash signatures of runs of words, in bands."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from camelid.errors import UserError
from camelid.text.minhash import HASHES, count_bands, text_signature
from corpus.dedup.repeats import drop_removed
from corpus.dedup.way import PartFiles, Removed
from corpus.reader import ReadCounts
from corpus.record import TextRecord


@dataclass(frozen=True)
class NearDocuments:
    """Texts that are nearly the same as one before them that stays.

    Attributes:
        similarity: the estimated share of common runs of five words (Jaccard) from which two are duplicates.
    """

    similarity: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.similarity <= 1:
            raise UserError(f"similarity: must be above 0 and at most 1, found {self.similarity}")

    def sketch(self, records: Iterable[TextRecord]) -> dict[str, npt.NDArray[Any]]:
        signatures = [text_signature(record.text) for record in records]
        rows = [np.zeros(HASHES, np.uint32) if one is None else np.array(one.digest(), np.uint32) for one in signatures]
        return {
            "signatures": np.array(rows, dtype=np.uint32).reshape(len(rows), HASHES),
            "words": np.array([one is not None for one in signatures], dtype=np.bool_),
        }

    def decide(self, parts: Sequence[PartFiles]) -> Iterator[Removed]:
        bands = count_bands(self.similarity)
        rows = HASHES // bands
        kept: list[npt.NDArray[np.uint32]] = []
        index: dict[tuple[int, bytes], list[int]] = {}
        for part in parts:
            with np.load(part.sketch) as sketch:
                signatures, has_words = sketch["signatures"], sketch["words"]
            removed = np.zeros(len(signatures), dtype=np.bool_)
            for at in np.flatnonzero(has_words):
                signature = signatures[at]
                keys = [(band, signature[band * rows : (band + 1) * rows].tobytes()) for band in range(bands)]
                near = {other for key in keys for other in index.get(key, ())}
                if any((kept[other] == signature).mean() >= self.similarity for other in sorted(near)):
                    removed[at] = True
                    continue
                for key in keys:
                    index.setdefault(key, []).append(len(kept))
                kept.append(signature)
            yield removed

    def apply(self, records: Iterable[TextRecord], removed: Removed, counts: ReadCounts) -> Iterator[TextRecord]:
        return drop_removed(records, removed, "near-duplicate of one before", counts)
