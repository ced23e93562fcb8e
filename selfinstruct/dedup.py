"""ROUGE-L against everything kept so far, with rouge_score's decisions at a fraction of its cost."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

LIMIT = 0.7  # Self-Instruct (Wang et al. 2023), section 2.2; Alpaca's generate_instruction.py uses it too
MOST_SIMILAR = 10  # how many Alpaca writes beside each record


@dataclass(frozen=True)
class Similarity:
    """How near a text is to the texts before it.

    Attributes:
        highest: largest ROUGE-L F-measure.
        average: mean F-measure over all.
        most_similar: the nearest texts with their scores, nearest first.
    """

    highest: float
    average: float
    most_similar: dict[str, float]


class SimilarTexts:
    """The texts kept so far.

    Token ids are encoded as characters, so that rapidfuzz finds the longest common subsequence in
    bit-parallel steps.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._ids: dict[str, int] = {}
        self._texts: list[str] = []
        self._encoded: list[str] = []
        self._lengths: list[int] = []
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Remember a text."""
        encoded = self._encode(text)
        self._texts.append(text)
        self._encoded.append(encoded)
        self._lengths.append(len(encoded))

    def compare(self, text: str) -> Similarity:
        """ROUGE-L F-measure of `text` with every text kept, as rouge_score computes it."""
        if not self._texts:
            return Similarity(0.0, 0.0, {})
        encoded = self._encode(text)
        common = cdist([encoded], self._encoded, scorer=LCSseq.similarity, dtype=np.int64)[0].astype(np.float64)
        lengths = np.array(self._lengths, dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            # Operations in rouge_score's order: an algebraically equal form flips borderline decisions.
            precision, recall = common / lengths, common / len(encoded) if encoded else common * 0
            scores = 2 * precision * recall / (precision + recall)
        scores = np.where(common > 0, scores, 0.0)
        nearest = np.argsort(-scores, kind="stable")[:MOST_SIMILAR]
        return Similarity(
            highest=float(scores.max()),
            average=float(scores.mean()),
            most_similar={self._texts[index]: float(scores[index]) for index in nearest},
        )

    def _encode(self, text: str) -> str:
        """One private character per distinct token."""
        return "".join(_character(self._ids.setdefault(token, len(self._ids))) for token in tokens(text))


def tokens(text: str) -> list[str]:
    """rouge_score's tokens without stemming (rouge_scorer.tokenize): runs of a-z and 0-9, lower case."""
    return [token for token in re.split(r"\s+", re.sub(r"[^a-z0-9]+", " ", text.lower())) if token]


def _character(index: int) -> str:
    """A distinct code point for an index, stepping over the surrogates."""
    return chr(index if index < 0xD800 else index + 0x800)
