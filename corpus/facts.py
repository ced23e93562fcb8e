"""What is known of the texts that were kept: how many, how long, in which languages, under which licences."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from corpus.record import TextRecord


@dataclass
class Facts:
    """The sums.

    Attributes:
        documents: how many.
        characters: of all texts.
        bytes: of all texts in UTF-8.
        tokens: of all texts, where a tokenizer was named; None if not.
        languages: documents by language, where that was looked for.
        licences: documents by licence, where their source knows.
    """

    documents: int = 0
    characters: int = 0
    bytes: int = 0
    tokens: int | None = None
    languages: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)

    def count(self, record: TextRecord, tokens: int | None = None) -> None:
        """Add a record, with its length in tokens if that is known."""
        self.documents += 1
        self.characters += len(record.text)
        self.bytes += len(record.text.encode(errors="surrogatepass"))
        self.tokens = tokens if self.tokens is None else self.tokens + (tokens or 0)
        for counter, name in ((self.languages, "language"), (self.licences, "licence")):
            if isinstance(value := record.meta.get(name), str):
                counter[value] += 1

    def add(self, other: "Facts") -> None:
        """Take over other sums."""
        self.documents += other.documents
        self.characters += other.characters
        self.bytes += other.bytes
        if other.tokens is not None:
            self.tokens = (self.tokens or 0) + other.tokens
        self.languages.update(other.languages)
        self.licences.update(other.licences)

    def to_json(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "characters": self.characters,
            "bytes": self.bytes,
            "tokens": self.tokens,
            "languages": dict(self.languages.most_common()),
            "licences": dict(self.licences.most_common()),
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> "Facts":
        numbers = (value["documents"], value["characters"], value["bytes"], value["tokens"])
        return Facts(*numbers, Counter(value["languages"]), Counter(value["licences"]))
