"""Cleaning ShareGPT HTML against FastChat's clean_sharegpt: in one process, and from file to file on all cores.

Run: python benchmarks/conversations.py. The last line is one JSON object. The peer is `fschat` from PyPI in a
virtual environment of its own (kept in the cache folder), with the packages that clean_sharegpt imports; nothing
is stubbed. Both sides read the same 2,000 made-up conversations, take turns, and each timing is a fresh process;
one process is measured in processor time, which other work on the machine disturbs least.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers import fastchat_python
from benchmarks.spread import spread
from tests.chat_pages import answer, question

ROOT = Path(__file__).parents[1]
CHATS, PAIRS = 2000, 5
# Measured with cProfile over `process_batch`: 1.1 of 1.5 seconds are html_to_markdown's `convert`.
WHY = (
    "three quarters of our time is the HTML library, a compiled one; the rest is a few passes of regular expressions,"
    " and the ratio moves by a tenth and more from run to run"
)

MINE = """
import json, sys, time
from conversations.batch import ConversionWork, process_batch
records = [("", record) for record in json.load(open(sys.argv[1]))]
process_batch(ConversionWork(), records[:20])
started = time.process_time()
result = process_batch(ConversionWork(), records)
print(time.process_time() - started, len(result.cleaned))
"""
PEERS = """
import json, sys, time
from fastchat.data.clean_sharegpt import clean_html_one_sample
records = json.load(open(sys.argv[1]))
started = time.process_time()
codes = [clean_html_one_sample(record)[1] for record in records]
print(time.process_time() - started, codes.count(0))
"""
# What clean_sharegpt's `main` does; as published it stops with a TypeError before it begins.
PEERS_WHOLE = """
import json, sys
from fastchat.data.clean_sharegpt import clean_html_all
content = clean_html_all(json.load(open(sys.argv[1])), None, None)
json.dump(content, open(sys.argv[2], "w"), indent=2, ensure_ascii=False)
"""


def write_export(path: Path) -> None:
    rng = Random(0)
    chats = []
    for number in range(CHATS):
        turns = []
        for _ in range(rng.randint(1, 6)):
            turns += [{"from": "human", "value": question(rng)}, {"from": "gpt", "value": answer(rng).html}]
        chats.append({"id": f"chat{number}", "conversations": turns})
    path.write_text(json.dumps(chats))


def seconds_inside(python: Path | str, program: str, export: Path) -> float:
    """What the program itself measured: processor time of cleaning alone, without start, reading and writing."""
    command = [str(python), "-W", "ignore", "-c", program, str(export)]
    seconds, kept = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert int(kept) > 0.9 * CHATS, kept
    return float(seconds)


def seconds_outside(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def row(what: str, mine: list[float], peer: list[float], bar: float) -> dict[str, Any]:
    ratios = [b / a for a, b in zip(mine, peer, strict=True)]
    ratio = statistics.median(ratios)
    ours, theirs = statistics.median(mine), statistics.median(peer)
    met = ratio >= bar
    verdict = "met" if met else "MISSED"
    print(f"{what:45s} ours {ours:7.2f}  peer {theirs:7.2f}  ratio {ratio:5.1f}  bar >= {bar:g}  {verdict}")
    result = {"what": what, "ours": round(ours, 3), "peer": round(theirs, 3), "ratio": round(ratio, 2)}
    return {**result, "spread": spread(ratios), "bar": f">= {bar:g}", "met": met, "why": WHY}


def cleaning(folder: Path) -> list[dict[str, Any]]:
    """Both bars of cleaning; each ratio is the median over pairs that ran one after the other."""
    python, export = fastchat_python(), folder / "export.json"
    write_export(export)
    workers = str(os.cpu_count())
    ours = [sys.executable, "-m", "camelid.app.cli", "conversations", "convert", str(export), "--quiet"]
    ours += ["--output", str(folder / "ours.jsonl"), "--workers", workers]
    peers = [str(python), "-W", "ignore", "-c", PEERS_WHOLE, str(export), str(folder / "peer.json")]
    alone = [
        (seconds_inside(sys.executable, MINE, export), seconds_inside(python, PEERS, export)) for _ in range(PAIRS)
    ]
    whole = [(seconds_outside(ours), seconds_outside(peers)) for _ in range(PAIRS)]
    return [
        row("cleaning in one process, CPU seconds", [a for a, _ in alone], [b for _, b in alone], 8),
        row(f"file to file, {workers} cores, seconds", [a for a, _ in whole], [b for _, b in whole], 4),
    ]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        results = cleaning(Path(folder))
    print(json.dumps({"name": "conversations", "met": all(result["met"] for result in results), "results": results}))


if __name__ == "__main__":
    main()
