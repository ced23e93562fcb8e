"""Books that are contained in others: of more than 90% overlap, as LLaMA's (Touvron et al. 2023, 2.1).

What is compared are runs of five words. A sketch keeps those whose hash is small, one in 64, and the 512 smallest at
least (bottom-k; Broder 1997): it finds the pairs, and each is then compared exactly. Simhash, which RedPajama and
data-juicer use here, tells near-equal texts, not contained ones.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from camelid.errors import UserError
from camelid.text.words import unicode_tokens
from corpus.dedup.repeats import drop_removed
from corpus.dedup.way import PartFiles, Removed
from corpus.reader import ReadCounts
from corpus.record import TextRecord, read_texts

_RUN = 5  # words in a row
_SMALLEST = 512  # hashes a sketch has at least
_SCALE = np.uint64(2**64 // 64)  # a long book's sketch has one hash in 64
_MARGIN = 0.2  # below what is asked for, an estimate is still looked at: five standard errors of 512 hashes at 0.9
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of SplitMix64 (Steele et al. 2014)

RunHashes = npt.NDArray[np.uint64]


def run_hashes(text: str) -> RunHashes:
    """The hashes of a text's runs of words, each once, sorted; a text of fewer words is one run."""
    known: dict[str, int] = {}
    words = np.fromiter((known.setdefault(word, len(known)) for word in unicode_tokens(text)), dtype=np.int64)
    if not len(words):
        return np.zeros(0, np.uint64)
    hashed = np.array([_word_hash(word) for word in known], dtype=np.uint64)[words]
    runs = max(1, len(hashed) - _RUN + 1)
    mixed = np.zeros(runs, np.uint64)
    for at in range(min(_RUN, len(hashed))):
        mixed = _scramble(mixed * np.uint64(31) + hashed[at : at + runs])
    return np.unique(mixed)


def _word_hash(word: str) -> int:
    from hashlib import blake2b

    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _scramble(values: RunHashes) -> RunHashes:
    values = (values ^ (values >> np.uint64(30))) * _MIX[0]
    values = (values ^ (values >> np.uint64(27))) * _MIX[1]
    return values ^ (values >> np.uint64(31))


def sketch_of(hashes: RunHashes) -> RunHashes:
    """The smallest hashes of a text, sorted."""
    return hashes[: max(_SMALLEST, int(np.searchsorted(hashes, _SCALE)))]


def estimate_containment(inner: RunHashes, outer: RunHashes) -> float:
    """The share of a text's runs that are in another, from their sketches, as far as both reach."""
    reach = min(inner[-1], outer[-1])
    looked_at = inner[: np.searchsorted(inner, reach, side="right")]
    return float(np.isin(looked_at, outer, assume_unique=True).mean())


def containment(inner: RunHashes, outer: RunHashes) -> float:
    """The share of a text's runs that are in another, exactly."""
    return float(np.isin(inner, outer, assume_unique=True).mean()) if len(inner) else 0.0


@dataclass(frozen=True)
class OverlappingBooks:
    """Texts of which more than a share is in another that stays.

    Attributes:
        over: that share.
    """

    over: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.over < 1:
            raise UserError(f"over: must be between 0 and 1, found {self.over}")

    def sketch(self, records: Iterable[TextRecord]) -> dict[str, npt.NDArray[Any]]:
        hashes = [run_hashes(record.text) for record in records]
        sketches = [sketch_of(one) for one in hashes]
        return {
            "hashes": np.concatenate(sketches) if sketches else np.zeros(0, np.uint64),
            "lengths": np.array([len(one) for one in sketches], dtype=np.int64),
            "runs": np.array([len(one) for one in hashes], dtype=np.int64),
        }

    def decide(self, parts: Sequence[PartFiles]) -> Iterator[Removed]:
        loaded = [np.load(part.sketch) for part in parts]
        sketches = [one for file in loaded for one in np.split(file["hashes"], np.cumsum(file["lengths"])[:-1])]
        sketches = (
            sketches[: sum(len(file["lengths"]) for file in loaded)] if any(len(f["lengths"]) for f in loaded) else []
        )
        runs = np.concatenate([file["runs"] for file in loaded]) if loaded else np.zeros(0, np.int64)
        pairs = self._candidates(sketches, runs)
        exact = _read_hashes(parts, {number for pair in pairs for number in pair})
        gone: set[int] = set()
        for inner, outer in pairs:  # the longest inner first: what a text is in must itself stay
            if inner not in gone and outer not in gone and containment(exact[inner], exact[outer]) > self.over:
                gone.add(inner)
        start = 0
        for file in loaded:
            count = len(file["lengths"])
            yield np.array([number in gone for number in range(start, start + count)], dtype=np.bool_)
            start += count

    def apply(self, records: Iterable[TextRecord], removed: Removed, counts: ReadCounts) -> Iterator[TextRecord]:
        return drop_removed(records, removed, f"more than {self.over:.0%} of it in another", counts)

    def _candidates(self, sketches: Sequence[RunHashes], runs: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
        """Pairs of a text and a longer one (of equal ones, an earlier one) that it may be in, longest first."""
        order = sorted((at for at in range(len(sketches)) if runs[at]), key=lambda at: (-runs[at], at))
        having: dict[int, list[int]] = defaultdict(list)  # which longer texts have a hash
        pairs: list[tuple[int, int]] = []
        for number in order:
            shared: dict[int, int] = defaultdict(int)
            for value in sketches[number].tolist():
                for other in having[value]:
                    shared[other] += 1
                having[value].append(number)
            for other in sorted(shared, key=lambda at: (-runs[at], at)):
                if estimate_containment(sketches[number], sketches[other]) > self.over - _MARGIN:
                    pairs.append((number, other))
        return pairs


def _read_hashes(parts: Sequence[PartFiles], wanted: set[int]) -> dict[int, RunHashes]:
    """All hashes of some texts, by their numbers in the order of all parts."""
    found: dict[int, RunHashes] = {}
    number = 0
    for part in parts if wanted else ():
        for _, record in read_texts(part.texts):
            if number in wanted:
                found[number] = run_hashes(record.text)
            number += 1
    return found
