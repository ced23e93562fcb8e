"""Whether a text is too near to any kept so far: `rouge_score`'s decision, with hardly any of the comparisons.

ROUGE-L above a limit needs many words in common. Of two texts whose words are put into one order, rare ones first, the
first that both have stands near the beginning of each, and enough of either must follow it (prefix and positional
filtering: Xiao, Wang, Lin and Yu 2008, "Efficient similarity joins for near duplicate detection"). Only kept texts of
which that is true are compared.
"""

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from camelid.text.words import WordSplitter, unicode_tokens
from selfinstruct.keep.nearness import LIMIT
from selfinstruct.keep.rouge import Similarity, WordCodes, f_measure

_ROUNDING = 1e-9  # a text in common with another by exactly the limit is left to `f_measure`, whose rounding counts


class NearTexts:
    """The texts kept so far, for decisions alone.

    Args:
        texts: kept from the start.
        tokenize: what a word is.
        limit: the highest ROUGE-L F-measure that is not near.
    """

    def __init__(
        self, texts: Iterable[str] = (), tokenize: WordSplitter = unicode_tokens, limit: float = LIMIT
    ) -> None:
        self._ids, self._limit = WordCodes(tokenize), limit
        self._encoded: list[str] = []
        self._lengths, self._signatures = array("i"), array("Q")
        self._holders: dict[str, _Holders] = {}  # by token
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Remember a text."""
        encoded = self._ids.encode(text)
        for token, left in self._prefix(encoded).items():
            holders = self._holders.setdefault(token, _Holders(array("i"), array("i")))
            holders.places.append(len(self._encoded))
            holders.left.append(left)
        self._encoded.append(encoded)
        self._lengths.append(len(encoded))
        self._signatures.append(_signature(encoded))

    def look_ahead(self, texts: Sequence[str]) -> None:
        """As `SimilarTexts`; here nothing is to be gained by it."""

    def compare(self, text: str) -> Similarity:
        """As `SimilarTexts`, without average and nearest texts: they would need every comparison."""
        return Similarity(self.highest(text), math.nan, {})

    def highest(self, text: str) -> float:
        """The largest F-measure with a kept text if it is above the limit; else some number not above it."""
        encoded = self._ids.encode(text)
        places = self._possible(encoded)
        if not len(places):
            return 0.0
        others = [self._encoded[place] for place in places.tolist()]
        common = cdist([encoded], others, scorer=LCSseq.similarity, dtype=np.uint32)[0]
        lengths = np.frombuffer(self._lengths, np.int32)[places]
        return float(f_measure(common, lengths, len(encoded)).max())

    def _prefix(self, encoded: str) -> dict[str, int]:
        """The tokens that may be the first in common with a near text; how many tokens there are from each on.

        The order is that in which tokens were seen, the last first: it never changes, and rare ones are seen late.
        """
        size = len(encoded)
        # F = 2 common / (size + other), and no more is in common than the shorter has: the shortest near text has
        # limit / (2 - limit) of this one's tokens, and all of them in common with it.
        fewest = math.ceil(size * self._limit / (2 - self._limit) - _ROUNDING)
        ordered = sorted(encoded, reverse=True)
        return {ordered[place]: size - place for place in range(size - fewest, -1, -1) if place < size}

    def _possible(self, encoded: str) -> NDArray[np.int32]:
        """Places of the kept texts that may be above the limit, some more than once."""
        found = [
            (holders, left) for token, left in self._prefix(encoded).items() if (holders := self._holders.get(token))
        ]
        if not found:
            return np.zeros(0, np.int32)
        places = np.concatenate([np.frombuffer(holders.places, np.int32) for holders, _ in found])
        most = np.concatenate([np.minimum(np.frombuffer(holders.left, np.int32), left) for holders, left in found])
        lengths = np.frombuffer(self._lengths, np.int32)[places]
        needed = self._limit / 2 * (lengths + len(encoded)) - _ROUNDING
        likely = most >= needed
        places, needed, lengths = places[likely], needed[likely], lengths[likely]
        # A bit that one signature has and the other has not is a token at least that they have not in common.
        ours, theirs = np.uint64(_signature(encoded)), np.frombuffer(self._signatures, np.uint64)[places]
        size = np.int32(len(encoded))
        most = np.minimum(size - np.bitwise_count(ours & ~theirs), lengths - np.bitwise_count(theirs & ~ours))
        possible: NDArray[np.int32] = places[most >= needed]
        return possible


def _signature(encoded: str) -> int:
    """Its tokens as 64 bits, each token one of them."""
    bits = 0
    for token in encoded:
        bits |= 1 << (ord(token) & 63)
    return bits


@dataclass(frozen=True, slots=True)
class _Holders:
    """The kept texts in which a token may be the first in common with a near text: places; tokens from it on."""

    places: "array[int]"
    left: "array[int]"
