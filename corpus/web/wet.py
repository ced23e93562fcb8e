"""`wet`: pages of Common Crawl, out of WET or WARC files, as CCNet takes them (Wenzek et al. 2020)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.reader import RawPart, ReadCounts
from corpus.record import TextRecord
from corpus.web.pages import page_parts, read_pages


@dataclass(frozen=True)
class CrawledPages:
    """The settings.

    Attributes:
        min_characters: pages whose text without its title is shorter are dropped; CCNet drops below 300 (`min_len` in
            cc_net/mine.py).
    """

    min_characters: int = 1

    def parts(self, inputs: Sequence[Path]) -> list[RawPart]:
        return page_parts(inputs)

    def read(self, part: RawPart, source: str, counts: ReadCounts) -> Iterator[TextRecord]:
        for page in read_pages(part, counts.documents):
            _, _, text = page.text.partition("\n")  # as cc_net's parse_doc: the first line is the title
            if not text.strip():
                counts.documents.drop("no text in it", example=page.url)
            elif len(text) < self.min_characters:
                counts.documents.drop(f"fewer than {self.min_characters} characters", example=page.url)
            else:
                meta = {"url": page.url, "date": page.date, "title": page.title}
                yield TextRecord(text, source, {name: value for name, value in meta.items() if value})
