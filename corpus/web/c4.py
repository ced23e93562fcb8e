"""`c4`: the rules of the Colossal Clean Crawled Corpus, for pages of WET and WARC files and for texts.

They are those of the code that made it (`tensorflow_datasets/text/c4_utils.py`, `clean_page`), which differ from Raffel
et al. 2020, section 2.2, in that lines need 5 words and pages 3 sentences, and not the other way round.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.plain import PlainTexts
from corpus.reader import RawPart, ReadCounts, find_files, one_part_a_file
from corpus.record import SUFFIXES, TextRecord
from corpus.web.pages import ENDINGS, read_pages
from corpus.web.sentences import count_sentences

# All of them c4_utils.py's.
MIN_WORDS, MIN_SENTENCES, MAX_WORD = 5, 3, 1000  # words of a line, sentences of a page, characters of a word
END_MARKS, ELLIPSIS = (".", "?", "!", '"'), "..."
CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
# Reasons to drop a page, and lines.
LOREM, BRACE, FEW = "lorem ipsum", "a curly bracket", f"fewer than {MIN_SENTENCES} sentences"


def clean_page(text: str, dropped: Counter[str]) -> list[str] | str:
    """The lines of a page that stay, or why none of it does.

    Args:
        text: of the page.
        dropped: counts the lines that go, by reason, as far as the page was looked at.
    """
    kept: list[str] = []
    sentences = 0
    for raw in text.splitlines():
        line = raw.strip()
        if len(line) > MAX_WORD and any(len(word) > MAX_WORD for word in line.split()):
            dropped["a word of more than 1,000 characters"] += 1
            continue
        if "[" in line:
            line = CITATION.sub("", line)
        if not line.endswith(END_MARKS) or line.endswith(ELLIPSIS):
            dropped["no end mark"] += 1
            continue
        if len(line.split(None, MIN_WORDS)) < MIN_WORDS:
            dropped[f"fewer than {MIN_WORDS} words"] += 1
            continue
        lower = line.lower()
        if "lorem ipsum" in lower:
            return LOREM
        if "javascript" in lower:
            dropped["javascript"] += 1
            continue
        if "{" in line:
            return BRACE
        if any(policy in lower for policy in POLICIES):
            dropped["policy"] += 1
            continue
        if sentences < MIN_SENTENCES:
            sentences += count_sentences(line)
        kept.append(line)
    return kept if sentences >= MIN_SENTENCES else FEW


@dataclass(frozen=True)
class C4Pages:
    """No settings: the rules are the published ones. Texts of `.jsonl` and `.txt` files are read as pages, too."""

    def parts(self, inputs: Sequence[Path]) -> list[RawPart]:
        return one_part_a_file(find_files(inputs, (*ENDINGS, *SUFFIXES, ".txt"), "WET file or texts"))

    def read(self, part: RawPart, source: str, counts: ReadCounts) -> Iterator[TextRecord]:
        for record in _pages(part, source, counts):
            dropped: Counter[str] = Counter()
            outcome = clean_page(record.text, dropped)
            lines = len(record.text.splitlines())
            for reason, count in dropped.items():
                counts.of("lines").drop(reason, count)
            if isinstance(outcome, str):
                counts.of("lines").drop("in a page that was dropped", lines - dropped.total())
                counts.documents.drop(outcome, example=record.text)
                continue
            counts.of("lines").keep(len(outcome))
            yield TextRecord("\n".join(outcome).strip(), source, record.meta)


def _pages(part: RawPart, source: str, counts: ReadCounts) -> Iterator[TextRecord]:
    if part.name.lower().endswith(ENDINGS):
        for page in read_pages(part, counts.documents):
            yield TextRecord(page.text, source, {"url": page.url, "date": page.date})
    else:
        yield from PlainTexts().read(part, source, counts)
