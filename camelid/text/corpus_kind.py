"""What `dedup` must know of a corpus: how its records are read, and what of them is compared and counted."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from camelid.text.words import WordSplitter

ReasonToDrop = Callable[[Any], str | None]  # from a record to the reason to drop it, or None


@dataclass(frozen=True)
class TextComparison:
    """How MinHash sees a text: as the set of its runs of words. Case and punctuation don't count.

    Attributes:
        words: from a text to its words.
        n_grams: words in a run; a text of fewer is never compared.
        numbers: whether numbers can differ; else they are all alike.
    """

    words: WordSplitter
    n_grams: int
    numbers: bool = True


@dataclass(frozen=True)
class RecordParts:
    """What the records consist of, where that is counted, too.

    Attributes:
        unit: in the plural, for the ledger ("turns").
        count: how many a record has.
        dropped: the reason for which they go with their record.
    """

    unit: str
    count: Callable[[Any], int]
    dropped: str


@dataclass(frozen=True)
class CorpusKind:
    """A kind of records. The functions are at the top of modules, for jobs on other machines unpickle them.

    Attributes:
        unit: what a record is, in the plural, for the ledger ("conversations").
        read: from a folder (datatrove's) and the name of a file in it to `(place, record)`, strictly.
        text: from a record and its place to what is compared; raises UserError where it is no such record.
        comparison: how.
        duplicate: the reason for which a near-duplicate is dropped.
        keep_out: from evaluation files to what says why a record must not be kept with their questions.
        parts: what the records consist of, if that is counted.
    """

    unit: str
    read: Callable[[Any, str], Iterator[tuple[str, Any]]]
    text: Callable[[Any, str], str]
    comparison: TextComparison
    duplicate: str
    keep_out: Callable[[Sequence[str]], ReasonToDrop]
    parts: RecordParts | None = None
