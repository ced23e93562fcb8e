"""`gutenberg`: books, a text file each, of Project Gutenberg or of one's own."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.plain import read_any_text
from corpus.reader import RawPart, ReadCounts, find_files, parts_of
from corpus.record import TextRecord

_BOOKS = 64  # that one part holds
# What Project Gutenberg has put around its books since 1991 (its "Small Print", and the lines of today).
_START = re.compile(
    r"^\W*\*+\s*START OF (?:THE|THIS) PROJECT GUTENBERG EBOOK\b[^\n]*(?:\n[^\n]+)?\*\*\*[^\n]*\n"
    r"|^\*END[*\s]*THE SMALL PRINT![^\n]*\n",
    re.MULTILINE | re.IGNORECASE,
)
_END = re.compile(
    r"^\W*\*+\s*END OF (?:THE|THIS) PROJECT GUTENBERG EBOOK\b|^\W*End of (?:the )?Project Gutenberg(?:'s|\u2019s)?\b"
    r"|^\*\*\* ?START: FULL LICENSE",
    re.MULTILINE | re.IGNORECASE,
)
_PRODUCED = re.compile(
    r"\A\s*(?:Produced by|E-text prepared by|Transcribed by)[^\n]*(?:\n[^\n]+)*\n\s*\n", re.IGNORECASE
)
_FACT = re.compile(r"^(Title|Author|Language|Release Date):[ \t]*([^\n]+)$", re.MULTILINE | re.IGNORECASE)
_HEAD = 20_000  # characters in which a header ends


@dataclass(frozen=True)
class Books:
    """The settings.

    Attributes:
        min_characters: a book of fewer is dropped.
    """

    min_characters: int = 1

    def parts(self, inputs: Sequence[Path]) -> list[RawPart]:
        return parts_of(find_files(inputs, (".txt", ".txt.gz", ".md"), "text files"), _BOOKS)

    def read(self, part: RawPart, source: str, counts: ReadCounts) -> Iterator[TextRecord]:
        for path in part.paths:
            whole = read_any_text(path, counts)
            text, had = strip_gutenberg(whole)
            if had:
                counts.documents.repair("Project Gutenberg's header and licence removed")
            if len(text.strip()) < self.min_characters:
                reason = f"fewer than {self.min_characters} characters" if text.strip() else "no text in it"
                counts.documents.drop(reason, example=path)
                continue
            facts = {name.lower(): value.strip() for name, value in _FACT.findall(whole[:_HEAD])} if had else {}
            yield TextRecord(text, source, {"path": Path(path).name, **facts})


def strip_gutenberg(text: str) -> tuple[str, bool]:
    """The book without what Project Gutenberg says before and after it, and whether it did."""
    start, end = _START.search(text, 0, _HEAD * 2), _END.search(text, len(text) // 3)
    if start is None and end is None:
        return text, False
    inside = text[start.end() if start else 0 : end.start() if end else len(text)]
    return _PRODUCED.sub("", inside).strip("\n") + "\n", True
