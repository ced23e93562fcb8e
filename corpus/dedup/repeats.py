"""Lines and texts that are there more than once, in a corpus of any size.

Keys are compared a share of them at a time, so that memory holds a byte a line and no more, but all that are equal at
once: cc_net's sharded pass misses a line that is in every shard once (its own docstring says so).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from corpus.dedup.line_keys import Keys, c4_keys, ccnet_keys, text_key
from corpus.dedup.way import PartFiles, Removed
from corpus.reader import ReadCounts
from corpus.record import TextRecord

_SHARE = 1 << 24  # keys compared at a time: half a GB with their places

Keep = Literal["first", "none"]


@dataclass(frozen=True)
class RepeatedLines:
    """Lines that were there before.

    Attributes:
        key: what makes lines the same: CCNet's rule or C4's.
        keep: of a line that several documents have, the first one, as cc_net's `deduplicate` does, or none, as its
            `mine.py` and LLaMA do. Within a document the first stays either way.
        min_characters: a document of which less is left goes, too.
    """

    key: Literal["ccnet", "c4"] = "ccnet"
    keep: Keep = "first"
    min_characters: int = 1

    def sketch(self, records: Iterable[TextRecord]) -> dict[str, npt.NDArray[Any]]:
        keys = [self._keys(record.text) for record in records]
        return {
            "keys": np.concatenate(keys) if keys else np.zeros(0, np.uint64),
            "lengths": np.array([len(one) for one in keys], dtype=np.int64),
        }

    def decide(self, parts: Sequence[PartFiles]) -> Iterator[Removed]:
        return repeated_keys(parts, self.keep)

    def apply(self, records: Iterable[TextRecord], removed: Removed, counts: ReadCounts) -> Iterator[TextRecord]:
        at, ledger = 0, counts.of("lines")
        for record in records:
            lines = record.text.split("\n")
            gone = removed[at : at + len(lines)]
            at += len(lines)
            left = [line for line, goes in zip(lines, gone, strict=True) if not goes]
            empty = sum(not line.strip() for line, goes in zip(lines, gone, strict=True) if goes)
            if empty:
                ledger.drop("empty line seen before", empty)
            if more := len(lines) - len(left) - empty:
                ledger.drop("line seen before", more)
            text = "\n".join(left)
            if not text.strip() or len(text) < self.min_characters:
                if left:
                    ledger.drop("in a document of which too little is left", len(left))
                counts.documents.drop("nothing but lines seen before" if not text.strip() else "too little is left")
                continue
            ledger.keep(len(left))
            yield TextRecord(text, record.source, record.meta)

    def _keys(self, text: str) -> Keys:
        return ccnet_keys(text) if self.key == "ccnet" else c4_keys(text)


@dataclass(frozen=True)
class RepeatedTexts:
    """Texts that were there before, to the letter: what LLaMA did with files of code."""

    def sketch(self, records: Iterable[TextRecord]) -> dict[str, npt.NDArray[Any]]:
        keys = [text_key(record.text) for record in records]
        return {
            "keys": np.concatenate(keys) if keys else np.zeros(0, np.uint64),
            "lengths": np.ones(len(keys), dtype=np.int64),
        }

    def decide(self, parts: Sequence[PartFiles]) -> Iterator[Removed]:
        return repeated_keys(parts, "first")

    def apply(self, records: Iterable[TextRecord], removed: Removed, counts: ReadCounts) -> Iterator[TextRecord]:
        return drop_removed(records, removed, "same text as one before", counts)


def drop_removed(
    records: Iterable[TextRecord], removed: Removed, reason: str, counts: ReadCounts
) -> Iterator[TextRecord]:
    """The records that stay; the others are counted under a reason."""
    for record, goes in zip(records, removed, strict=True):
        if goes:
            counts.documents.drop(reason, example=record.text)
        else:
            yield record


def repeated_keys(parts: Sequence[PartFiles], keep: Keep) -> Iterator[Removed]:
    """Which keys go, part by part, in the order of the sketches.

    Args:
        parts: their sketches have `keys`, and `lengths`: how many of them each document has.
        keep: see `RepeatedLines`.
    """
    sizes = [_load(part, "lengths") for part in parts]
    starts = np.cumsum([0, *(int(lengths.sum()) for lengths in sizes)])
    firsts = np.cumsum([0, *(len(lengths) for lengths in sizes)])  # of each part, its first document's number
    removed = np.zeros(starts[-1], dtype=np.bool_)
    shares = max(1, -(-int(starts[-1]) // _SHARE))
    for share in range(shares):
        values, places, documents = [], [], []
        for part, lengths, start, first in zip(parts, sizes, starts, firsts, strict=False):
            keys = _load(part, "keys")
            chosen = np.flatnonzero(keys % np.uint64(shares) == share)
            values.append(keys[chosen])
            places.append(chosen + start)
            if keep == "none":
                documents.append(np.repeat(np.arange(len(lengths)), lengths)[chosen] + first)
        if places:
            holders = np.concatenate(documents) if keep == "none" else None
            removed[_repeated(np.concatenate(values), np.concatenate(places), holders)] = True
    for start, end in pairwise(starts):
        yield removed[start:end]


def _load(part: PartFiles, name: str) -> npt.NDArray[Any]:
    with np.load(part.sketch) as sketch:
        return np.asarray(sketch[name])


def _repeated(
    keys: Keys, places: npt.NDArray[np.int64], documents: npt.NDArray[np.int64] | None
) -> npt.NDArray[np.int64]:
    """The places whose keys were there before; with `documents`, also those whose keys several documents have."""
    order = np.argsort(keys, kind="stable")
    keys, places = keys[order], places[order]
    begins = np.ones(len(keys), dtype=np.bool_)
    begins[1:] = keys[1:] != keys[:-1]
    if documents is None or not len(keys):
        return places[~begins]
    documents, starting = documents[order], np.flatnonzero(begins)
    several = np.minimum.reduceat(documents, starting) != np.maximum.reduceat(documents, starting)
    gone: npt.NDArray[np.int64] = places[~begins | several[np.cumsum(begins) - 1]]
    return gone
