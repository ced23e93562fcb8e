"""The ways to find duplicates, by the names that recipes and the command line give them."""

from corpus.dedup.near import NearDocuments
from corpus.dedup.overlap import OverlappingBooks
from corpus.dedup.repeats import RepeatedLines, RepeatedTexts
from corpus.dedup.way import DedupWay

WAYS: dict[str, type[DedupWay]] = {
    "line": RepeatedLines,
    "exact": RepeatedTexts,
    "document": NearDocuments,
    "book": OverlappingBooks,
}
