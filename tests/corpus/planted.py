"""A corpus of seven sources, 1,000 documents, in which twelve kinds of fault are planted, each so many times."""

import gzip
import random
from pathlib import Path

from tests.corpus.test_code import MIT
from tests.corpus.test_stack_exchange import answer, question, row, write_site
from tests.corpus.test_web import warc_record
from tests.corpus.test_wiki import dump, page

QUESTION = "Explain to a curious child why the sea has two tides a day and not one, in four short sentences."
_NOUNS = (
    "house river teacher garden window letter market engine doctor village forest bridge kitchen island school "
    "captain mountain library soldier farmer painting station harbour machine prison valley castle winter".split()
)
_ADJECTIVES = (
    "old small quiet heavy bright narrow broken famous gentle hungry ancient clever golden silent distant "
    "yellow wooden careful lonely modern secret simple rapid tender curious honest polite".split()
)
_VERBS = (
    "watched followed carried described answered painted crossed repaired remembered visited protected noticed "
    "finished examined discovered explained surprised reached avoided collected measured believed".split()
)
_ADVERBS = "slowly often never always quickly yesterday together again quietly carefully later early".split()
_GERMAN = "Das {0} Haus der Frau wurde im Sommer von dem Mann gebaut und steht seitdem am Ufer des Flusses Nummer {1}."

# Name of source: read, kept, dropped by reason, of documents.
WANTED = {
    "commoncrawl": (301, 270, {"fewer than 300 characters": 10, "language: de": 12, "record of type warcinfo": 1,
                               "contains an evaluation question": 8}),
    "c4": (200, 177, {"a curly bracket": 7, "fewer than 3 sentences": 10, "contains an evaluation question": 6}),
    "github": (150, 120, {"licence: GPL-3.0": 10, "a line of more than 1000 characters": 5,
                          "same text as one before": 15}),
    "wikipedia": (150, 128, {"redirect": 15, "namespace 4": 7}),
    "books": (40, 36, {"more than 90% of it in another": 4}),
    "arxiv": (59, 55, {"no section": 4}),
    "stackexchange": (100, 100, {}),
}  # fmt: skip
LINES_OF_MENUS = 60  # of the pages of commoncrawl: "Home Contact 1"; all of them go
POSTS = {"post of type 4": 3, "answer without its question": 9}


def sentence(rng: random.Random) -> str:
    adjective, other = rng.sample(_ADJECTIVES, 2)
    one, two, three = rng.sample(_NOUNS, 3)
    verb, adverb = rng.choice(_VERBS), rng.choice(_ADVERBS)
    return f"The {adjective} {one} {verb} the {two} near the {other} {three} {adverb}."


def paragraph(rng: random.Random, sentences: int) -> str:
    return " ".join(sentence(rng) for _ in range(sentences))


def plant(raw: Path, seed: int = 0) -> None:
    """Write the raw files of all sources under a folder."""
    rng = random.Random(seed)
    _web(raw, rng)
    _c4(raw, rng)
    _code(raw, rng)
    _wiki(raw, rng)
    _books(raw, rng)
    _papers(raw, rng)
    _threads(raw, rng)


def _web(raw: Path, rng: random.Random) -> None:
    pages = []
    for number in range(300):
        lines = [paragraph(rng, 3), paragraph(rng, 3)]
        if number < 10:
            lines = [sentence(rng)]
        elif number < 22:
            lines = [
                _GERMAN.format(adjective, "x" * (number + at))
                for at, adjective in enumerate(("alte", "neue", "rote", "gute"))
            ]
        elif number < 30:
            lines.append(f"{sentence(rng)} {QUESTION}")
        if 30 <= number < 30 + LINES_OF_MENUS:
            lines.insert(0, f"Home Contact {number}")
        pages.append("\n".join([f"Title {number}", *lines]))
    rng.shuffle(pages)
    (raw / "commoncrawl").mkdir(parents=True)
    for part in range(3):
        records = [warc_record("conversion", text.encode()) for text in pages[part::3]]
        head = [warc_record("warcinfo", b"x: y")] if part == 0 else []
        (raw / "commoncrawl" / f"{part}.warc.wet.gz").write_bytes(gzip.compress(b"".join([*head, *records]), mtime=0))


def _c4(raw: Path, rng: random.Random) -> None:
    pages = []
    for number in range(200):
        lines = ["Menu", *(sentence(rng) for _ in range(6))]
        if number < 7:
            lines.append("It has a { in it, as code often has.")
        elif number < 17:
            lines = lines[:3]
        elif number < 23:
            lines.append(f"{sentence(rng)} {QUESTION}")
        pages.append("\n".join(lines))
    (raw / "c4").mkdir()
    for part in range(2):
        records = [warc_record("conversion", text.encode()) for text in pages[part::2]]
        (raw / "c4" / f"{part}.warc.wet.gz").write_bytes(gzip.compress(b"".join(records), mtime=0))


def _code(raw: Path, rng: random.Random) -> None:
    for number in range(150):
        folder = raw / "github" / f"repository{number % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        text = f"def f{number}(x):\n    # {sentence(rng)}\n    return x + {number}\n"
        if number < 10:
            text = f"# SPDX-License-Identifier: GPL-3.0-only\n{text}"
        elif number < 15:
            text += f"DATA = '{'ab' * 600}'\n"
        elif number >= 135:
            text = (raw / "github" / f"repository{(number - 100) % 5}" / f"{number - 100:03d}.py").read_text()
        (folder / f"{number:03d}.py").write_text(text)
    for folder in (raw / "github").iterdir():
        (folder / "LICENSE").write_text(MIT)


def _wiki(raw: Path, rng: random.Random) -> None:
    pages = []
    for number in range(150):
        text = f"'''{sentence(rng)}''' {{{{unknown|x}}}}\n\n== {rng.choice(_NOUNS)} ==\n[[{paragraph(rng, 4)}]]"
        if number < 15:
            pages.append(page(f"Old {number}", "#REDIRECT [[X]]", more='<redirect title="X" />'))
        else:
            pages.append(page(f"Page {number}", text, 4 if number < 22 else 0))
    (raw / "wikipedia").mkdir()
    for part in range(2):
        (raw / "wikipedia" / f"pages-articles{part}.xml").write_text(dump(*pages[part::2]))


def _books(raw: Path, rng: random.Random) -> None:
    books = [paragraph(rng, 100) for _ in range(36)]
    books += [" ".join(book.split()[70:900]) for book in books[:4]]
    (raw / "books").mkdir()
    for number, book in enumerate(books):
        (raw / "books" / f"{number:02d}.txt").write_text(book)


def _papers(raw: Path, rng: random.Random) -> None:
    for number in range(59):
        folder = raw / "arxiv" / f"paper{number:02d}"
        folder.mkdir(parents=True)
        heading = "\\section{One}" if number >= 4 else ""
        preamble = f"\\documentclass{{article}}\n\\newcommand{{\\me}}{{{rng.choice(_NOUNS)}}}\n"
        body = f"\\begin{{document}}{heading} \\me{{}} {paragraph(rng, 5)} % no\n\\end{{document}}\n"
        (folder / "main.tex").write_text(preamble + body)


def _threads(raw: Path, rng: random.Random) -> None:
    for site in range(3):
        rows = [row(Id=900 + site, PostTypeId=4)]
        for number in range(site, 100, 3):
            rows.append(
                question(2 * number + 1, Title=f"About {rng.choice(_NOUNS)}?", Body=f"<p>{paragraph(rng, 2)}</p>")
            )
            parent = 2 * number + 1 if number >= 9 else 5000 + number
            rows.append(answer(2 * number + 2, parent, rng.randrange(-5, 40)))
        write_site(raw / "stackexchange" / f"site{site}", *rows)
