"""A corpus's inner loops against their origins: lines dropped, wikitext, C4's rules; and the memory of `read`.

Run: python benchmarks/corpus.py. The last line is one JSON object. The texts are the 106 articles of the dump in
gensim's wheel, fetched from the package index (28 MB) on first use. Peers: cc_net's own Python for lines,
wikitextparser's `remove_markup` for wikitext, datatrove's C4 filter (without its sentences, which would need spaCy;
ours counts them). Both sides take turns in fresh processes and are measured in processor time.
"""

import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers import CACHE, corpus_python
from benchmarks.spread import spread

ROOT = Path(__file__).parents[1]
PAIRS = 5
DUMP = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"

ARTICLES = """
import json, sys
from pathlib import Path
from corpus.reader import ReadCounts
from corpus.wiki.dump import WikiDump
reader = WikiDump()
[part] = reader.parts([Path(sys.argv[1])])
Path(sys.argv[2]).write_text(json.dumps([one.text for one in reader.read(part, "wikipedia", ReadCounts())]))
"""
# Every program prints the processor time of its work alone, and a number that shows that it was done.
LINES = """
import json, sys, time, tempfile
from pathlib import Path
import numpy as np
from corpus.dedup.repeats import RepeatedLines
from corpus.dedup.way import PartFiles
from corpus.reader import ReadCounts
from corpus.record import TextRecord
records = [TextRecord(text, "x", {}) for text in json.load(open(sys.argv[1]))]
way, folder = RepeatedLines(), Path(tempfile.mkdtemp())
way.sketch(records[:3])
started = time.process_time()
part = PartFiles(folder, folder / "keys.npz", folder)
np.savez(part.sketch, **way.sketch(records))
[removed] = way.decide([part])
left = list(way.apply(records, removed, ReadCounts()))
print(time.process_time() - started, sum(len(record.text) for record in left))
"""
LINES_CCNET = """
import json, sys, time
from benchmarks import corpus_peers as peers
dedup, sets = peers.cc_net("dedup"), peers.cc_net("flat_hash_set")
documents = [{"raw_content": text} for text in json.load(open(sys.argv[1]))]
remover = dedup.DuplicatesRemover("raw_content", [], collect=True)
remover.duplicates = sets.FlatHashSet()
started = time.process_time()
left = [document for document in map(remover.do, documents) if document]
print(time.process_time() - started, sum(len(document["raw_content"]) for document in left))
"""
WIKITEXT = """
import json, sys, time
from corpus.wiki.markup import WikiText
from corpus.wiki.site import Site
pages = json.load(open(sys.argv[1]))
text = WikiText(Site())
text.to_text(pages[0])
started = time.process_time()
made = [text.to_text(page) for page in pages]
print(time.process_time() - started, sum(one.count(part) for one in made for part in json.loads(sys.argv[2])))
"""
WIKITEXT_PEER = """
import json, sys, time
import wikitextparser
pages = json.load(open(sys.argv[1]))
wikitextparser.remove_markup(pages[0])
started = time.process_time()
made = [wikitextparser.remove_markup(page) for page in pages]
print(time.process_time() - started, sum(one.count(part) for one in made for part in json.loads(sys.argv[2])))
"""
C4 = """
import json, sys, time
from collections import Counter
from corpus.web.c4 import clean_page
pages = json.load(open(sys.argv[1]))
clean_page(pages[0], Counter())
started = time.process_time()
kept = [clean_page(page, Counter()) for page in pages]
print(time.process_time() - started, sum(isinstance(one, list) for one in kept))
"""
C4_DATATROVE = """
import json, sys, time
from datatrove.data import Document
from datatrove.pipeline.filters import C4QualityFilter
documents = [Document(text=page, id=str(at)) for at, page in enumerate(json.load(open(sys.argv[1])))]
rules = C4QualityFilter(min_num_sentences=-1)
rules.filter(Document(text=documents[0].text, id="x"))
started = time.process_time()
kept = [rules.filter(document) for document in documents]
print(time.process_time() - started, sum(one is True for one in kept))
"""
MEMORY = """
import sys
from camelid.app.cli import main
assert main(["corpus", "read", "wet", sys.argv[1], "--output", sys.argv[2], "--quiet"]) == 0
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1024, 0)
"""
RESIDUE = ["thumb|", "px|", "Category:", "[[", "{{", "''", "<ref"]


def dump() -> Path:
    """The dump of Wikipedia that comes with gensim, kept in the cache folder."""
    path = CACHE / "gensim" / DUMP
    if not path.exists():
        with tempfile.TemporaryDirectory() as folder:
            words = ["pip", "download", "--quiet", "--no-deps", "--dest", folder, "gensim==4.4.0"]
            subprocess.run([sys.executable, "-m", *words], check=True)
            with zipfile.ZipFile(next(Path(folder).glob("gensim*"))) as wheel:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(wheel.read(f"gensim/test/test_data/{DUMP}"))
    return path


def measure(python: Path | str, program: str, *given: object) -> tuple[float, float]:
    command = [str(python), "-W", "ignore", "-c", program, *map(str, given)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()[-1].split()
    return float(first), float(second)


def row(what: str, ours: float, peer: float | None, ratios: list[float], bar: str, met: bool) -> dict[str, Any]:
    ratio = round(statistics.median(ratios), 2)
    verdict = "met" if met else "MISSED"
    print(f"{what:48s} ours {ours:8.2f}  peer {peer or 0:8.2f}  ratio {ratio:6.2f}  bar {bar}  {verdict}")
    numbers = {"ours": round(ours, 2), "peer": None if peer is None else round(peer, 2), "ratio": ratio}
    return {"what": what, **numbers, "spread": spread(ratios), "bar": bar, "met": met}


def compare(
    what: str, size: float, mine: Callable[[], float], peers: Callable[[], float], bar: float
) -> dict[str, Any]:
    """MB/s of both, which take turns; the ratio is the median over pairs."""
    pairs = [(size / mine(), size / peers()) for _ in range(PAIRS)]
    ratios = [ours / theirs for ours, theirs in pairs]
    ours, peer = (statistics.median(values) for values in zip(*pairs, strict=True))
    return row(what, ours, peer, ratios, f">= {bar:g}x", statistics.median(ratios) >= bar)


def main() -> None:
    python = corpus_python()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        articles, thrice, markup = folder / "articles.json", folder / "thrice.json", folder / "markup.json"
        subprocess.run([sys.executable, "-c", ARTICLES, str(dump()), str(articles)], cwd=ROOT, check=True)
        texts: list[str] = json.loads(articles.read_text())
        thrice.write_text(json.dumps([*texts, *texts[:50], *(text.upper() for text in texts[50:])]))
        markup.write_text(json.dumps(_markup()))
        megabytes = [sum(map(len, json.loads(path.read_text()))) / 1e6 for path in (thrice, markup, articles)]
        results = [
            compare(
                "lines that are there before, MB/s",
                megabytes[0],
                lambda: measure(sys.executable, LINES, thrice)[0],
                lambda: measure(python, LINES_CCNET, thrice)[0],
                1.5,
            ),
            _wikitext(python, markup, megabytes[1]),
            compare(
                "C4's rules, MB/s",
                megabytes[2],
                lambda: measure(sys.executable, C4, articles)[0],
                lambda: measure(sys.executable, C4_DATATROVE, articles)[0],
                1.0,
            ),
            _memory(folder, texts),
        ]
    print(json.dumps({"name": "corpus", "met": all(result["met"] for result in results), "results": results}))


def _markup() -> list[str]:
    """The wikitext of the articles of the dump."""
    import bz2
    import xml.etree.ElementTree as ET

    with bz2.open(dump()) as file:
        root = ET.parse(file).getroot()
    found = [element.text or "" for element in root.iter() if element.tag.endswith("}text")]
    return [text for text in found if not text.lower().startswith("#redirect")]


def _wikitext(python: Path, markup: Path, size: float) -> dict[str, Any]:
    residue = json.dumps(RESIDUE)
    mine = [measure(sys.executable, WIKITEXT, markup, residue) for _ in range(PAIRS)]
    theirs = [measure(python, WIKITEXT_PEER, markup, residue) for _ in range(PAIRS)]
    left = (int(mine[0][1]), int(theirs[0][1]))
    speeds, peers = [size / seconds for seconds, _ in mine], [size / seconds for seconds, _ in theirs]
    ratios = [ours / peer for ours, peer in zip(speeds, peers, strict=True)]
    speed = statistics.median(speeds)
    what = f"wikitext, MB/s (left over: {left[0]}, peer {left[1]})"
    return row(
        what, speed, statistics.median(peers), ratios, ">= 1.5 MB/s, nothing left", speed >= 1.5 and left[0] == 0
    )


def _memory(folder: Path, texts: list[str]) -> dict[str, Any]:
    """The peak of `read wet` in MB on a file, and on one ten times as long."""
    peaks = []
    for times in (1, 10):
        path = folder / f"{times}.warc.wet.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            for number in range(times):
                for text in texts:
                    body = f"Title\n{number}\n{text}".encode()
                    head = f"WARC/1.0\r\nWARC-Type: conversion\r\nContent-Length: {len(body)}\r\n\r\n"
                    file.write(head.encode() + body + b"\r\n\r\n")
        peaks.append(measure(sys.executable, MEMORY, path, folder / f"out{times}")[0])
    return row(
        "peak memory of read, MB, at ten times the input",
        peaks[1],
        peaks[0],
        [peaks[1] / peaks[0]],
        "<= 200 MB",
        peaks[1] <= 200,
    )


if __name__ == "__main__":
    main()
