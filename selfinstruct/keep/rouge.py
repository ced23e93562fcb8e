"""ROUGE-L against everything kept so far, with rouge_score's decisions at a fraction of its cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from camelid.text.words import WordSplitter, unicode_tokens

MOST_SIMILAR = 10  # how many Alpaca writes beside each record
_NONE = np.zeros(0, dtype=np.uint8)
_CHUNK = 64  # scores looked at together in search of the highest


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


class WordCodes:
    """Texts as strings of one private character per distinct token; frequent tokens, seen early, get the small ones.

    Args:
        tokenize: what a token is.
    """

    def __init__(self, tokenize: WordSplitter) -> None:
        self._tokenize = tokenize
        self._ids: dict[str, int] = {}

    def encode(self, text: str) -> str:
        ids = self._ids
        return "".join(_character(ids.setdefault(token, len(ids))) for token in self._tokenize(text))


class SimilarTexts:
    """The texts kept so far.

    Token ids are encoded as characters, so that rapidfuzz finds the longest common subsequence (LCS) in
    bit-parallel steps. The average is over all kept texts, as Alpaca's, so every pair has its LCS computed.

    Args:
        texts: kept from the start.
        tokenize: what a word is.
    """

    def __init__(self, texts: Iterable[str] = (), tokenize: WordSplitter = unicode_tokens) -> None:
        self._ids = WordCodes(tokenize)
        self._texts: list[str] = []
        self._encoded: list[str] = []
        self._lengths = np.zeros(1024, dtype=np.int64)  # of `_encoded`; grows by doubling
        self._longest = 0
        self._ahead: dict[str, NDArray[Any]] = {}  # LCS lengths with the first of the kept texts
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Remember a text."""
        encoded = self._ids.encode(text)
        if len(self._texts) == len(self._lengths):
            self._lengths = np.concatenate((self._lengths, np.zeros_like(self._lengths)))
        self._lengths[len(self._texts)] = len(encoded)
        self._longest = max(self._longest, len(encoded))
        self._texts.append(text)
        self._encoded.append(encoded)

    def look_ahead(self, texts: Sequence[str]) -> None:
        """Compare some texts with all kept so far at once: `compare` says the same of them as ever, but sooner.

        Handing the kept texts over costs several times what comparing one text with them does.
        """
        encoded = [self._ids.encode(text) for text in texts]
        self._ahead = dict(zip(texts, _common(encoded, self._encoded), strict=True)) if texts else {}

    def compare(self, text: str) -> Similarity:
        """ROUGE-L F-measure of `text` with every text kept, as rouge_score computes it."""
        encoded = self._ids.encode(text)
        ahead = self._ahead.get(text, _NONE)
        row = np.concatenate((ahead, _common([encoded], self._encoded[len(ahead) :])[0]))
        return self._similarity(len(encoded), row)

    def _similarity(self, length: int, common: NDArray[Any]) -> Similarity:
        """From the LCS lengths of a text of `length` tokens with each kept text to its scores."""
        if not len(common):
            return Similarity(0.0, 0.0, {})
        lengths, width = self._lengths[: len(common)], self._longest + 1
        if (length + 1) * width < len(common):  # far fewer different scores than texts: each is computed once
            table = f_measure(np.arange(length + 1)[:, None], np.arange(width), length)
            scores = table.ravel().take(common * np.int64(width) + lengths)
        else:
            scores = f_measure(common, lengths, length)
        most_similar = {self._texts[index]: float(scores[index]) for index in _nearest(scores)}
        return Similarity(float(scores.max()), float(scores.mean()), most_similar)


def _common(texts: Sequence[str], others: Sequence[str]) -> NDArray[Any]:
    """LCS length of each text (row) with each of the others (column)."""
    dtype = np.uint8 if max(map(len, texts)) <= 255 else np.uint32
    workers = -1 if len(texts) > 1 and len(texts) * len(others) > 50_000 else 1  # below that threads cost more
    return cdist(texts, others, scorer=LCSseq.similarity, dtype=dtype, workers=workers)


def f_measure(common: NDArray[Any], lengths: NDArray[Any], length: int) -> NDArray[np.float64]:
    """ROUGE-L of texts of `lengths` tokens with one of `length`, from the length of what they have in common."""
    with np.errstate(divide="ignore", invalid="ignore"):
        # Operations in rouge_score's order: an algebraically equal form flips borderline decisions.
        precision, recall = common / lengths, common / np.float64(length)
        scores: NDArray[np.float64] = 2 * precision * recall / (precision + recall)
    return np.where(common == 0, 0.0, scores)


def _nearest(scores: NDArray[np.float64]) -> list[int]:
    """Places of the `MOST_SIMILAR` highest scores, highest first, of equal ones the earliest first."""
    whole = len(scores) // _CHUNK * _CHUNK
    candidates = np.arange(len(scores))
    if whole >= MOST_SIMILAR * _CHUNK:
        # That many chunks have a score at least as high as this bound, so none of the highest is below it.
        tops = scores[:whole].reshape(-1, _CHUNK).max(axis=1)
        bound = np.partition(tops, -MOST_SIMILAR)[-MOST_SIMILAR]
        candidates = np.flatnonzero(scores >= bound)
    order = np.argsort(-scores[candidates], kind="stable")[:MOST_SIMILAR]
    return [int(place) for place in candidates[order]]


def _character(index: int) -> str:
    """A distinct code point for an index, stepping over the surrogates."""
    return chr(index if index < 0xD800 else index + 0x800)
