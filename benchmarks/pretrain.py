"""Raw text made ready for training: tokens that packing loses, and texts tokenised a second on one core.

Packing: documents as long as web pages in rows of 2,048 tokens, against the rule of nanochat's loader (best fit with
cropping: each row begins with a document; of 1,000 that wait, the longest that fits goes in; where none fits, the
shortest is cut to fill the row, and its rest is thrown away), written here from its description.

Tokenising: the standard library's source files, from JSON Lines to ids on disk, against the tokenizer's own
`encode_batch` on the same texts in memory; one thread each, by processor time, medians of five runs, paired, each in
a process of its own (what a process freed before costs the next run up to a third).
"""

import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["RAYON_NUM_THREADS"] = "1"  # before tokenizers starts its threads
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from tokenizers import Tokenizer

from benchmarks.spread import spread
from conversations.tokens.open_tokenizer import open_tokenizer
from conversations.tokens.template import get_template
from finetune.data.batches import Plan
from finetune.data.forms.text import cut_pieces
from finetune.data.token_data import TokenData, load_tokens
from finetune.data.token_store import TokenStore
from finetune.folders.tokenizer import train_tokenizer
from finetune.recipe import DataSection, DataSource, OptimSection

CAPACITY, DOCUMENTS, WAITING = 2048, 20_000, 1000
RUNS, MEGABYTES = 5, 8


def page_lengths(count: int) -> np.ndarray:
    """Tokens of documents, lognormal: half of them below 600, 1,100 on average."""
    lengths = np.random.default_rng(0).lognormal(np.log(600), 1.1, count)
    return np.maximum(lengths, 8).astype(np.int64)


def lost_by_cropping(lengths: np.ndarray) -> float:
    """The share of the tokens that nanochat's rule throws away."""
    coming, waiting, kept, drawn = iter(lengths.tolist()), [], 0, 0
    while True:
        room = CAPACITY
        while room:
            while len(waiting) < WAITING and (length := next(coming, None)) is not None:
                waiting.append(length)
            if not waiting:
                return 1 - kept / drawn
            fitting = [length for length in waiting if length <= room]
            chosen = max(fitting) if fitting else min(waiting)
            waiting.remove(chosen)
            drawn += chosen
            kept += min(chosen, room)
            room -= min(chosen, room)


def lost_by_us(lengths: np.ndarray) -> float:
    """The share of the targets (every token but a document's first) that an epoch of ours does not train."""
    pieces = [
        (start + at, end - at)
        for start, length in zip((lengths.cumsum() - lengths).tolist(), lengths.tolist(), strict=True)
        for at, end in cut_pieces(length, CAPACITY)
    ]
    starts, sizes = np.array(pieces, dtype=np.int64).T
    none = np.zeros(0, dtype=np.int64)
    store = TokenStore(np.broadcast_to(np.uint16(5), (int(lengths.sum()),)), None, 0)
    data = TokenData((store,), starts, sizes, np.array([5]), np.arange(starts.size), none, [])
    section = DataSection((DataSource("pages", form="text"),), max_length=CAPACITY)
    plan = Plan(data, section, OptimSection(1e-3, global_batch=512, epochs=1.0), 0)
    trained = np.zeros(store.ids.size, dtype=np.int64)
    for update in range(plan.updates):
        for document in np.concatenate(plan.rows(update)):
            trained[starts[document] + 1 : starts[document] + sizes[document]] += 1
    assert trained.max() == 1
    return 1 - int(trained.sum()) / int((lengths - 1).sum())


def sources() -> list[str]:
    """Texts of some megabytes in all."""
    texts, size = [], 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("[!s]*/*.py")):  # without site-packages
        texts.append(path.read_text(encoding="utf-8", errors="replace"))
        size += len(texts[-1])
        if size > MEGABYTES << 20:
            break
    return texts


def tokenise(folder: Path) -> int:
    """Ours: tokens made of the file and kept on disk."""
    section = DataSection((DataSource(str(folder / "texts.jsonl"), form="text"),), max_length=CAPACITY)
    cache = Path(tempfile.mkdtemp(dir=folder))
    started = time.process_time()
    tokens = load_tokens(cache, section, open_tokenizer(str(folder / "tokenizer")), seed=0).tokens
    return round(tokens / (time.process_time() - started))


def encode_batch(folder: Path) -> int:
    """The peer: tokens made of texts in memory."""
    texts = [json.loads(line)["text"] for line in (folder / "texts.jsonl").open(encoding="utf-8")]
    started = time.process_time()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    found = tokenizer.encode_batch(texts, add_special_tokens=False)
    return round(sum(len(one.ids) for one in found) / (time.process_time() - started))


LEGS = {"ours": tokenise, "peer": encode_batch}


def rates(folder: Path) -> tuple[list[int], list[int]]:
    """Tokens a second of ours and of `encode_batch`, each run after the other."""
    texts = sources()
    train_tokenizer(texts[::8], 8000, get_template("vicuna_v1.1")).save_pretrained(folder / "tokenizer")
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    found: dict[str, list[int]] = {leg: [] for leg in LEGS}
    for _ in range(RUNS):
        for leg, measured in found.items():
            run = subprocess.run([sys.executable, __file__, leg, folder], check=True, capture_output=True, text=True)
            measured.append(int(run.stdout))
    return found["ours"], found["peer"]


def main() -> None:
    lengths = page_lengths(DOCUMENTS)
    mine, cropped = lost_by_us(lengths), lost_by_cropping(lengths)
    print(f"{lengths.sum():,} tokens: {mine:.2%} lost, {cropped:.1%} by cropping", flush=True)
    lost = {"what": "tokens lost in packing", "ours": round(mine, 4), "peer": round(cropped, 3), "ratio": None}
    results: list[dict[str, Any]] = [{**lost, "bar": 0, "met": mine == 0 and cropped > 0.3}]
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = rates(Path(folder))
    rate, peer = statistics.median(ours), statistics.median(theirs)
    print(f"{rate:,.0f} tokens/s a core from file to file, {peer:,.0f} by encode_batch", flush=True)
    results.append(
        {
            "what": "tokens/s a core, from texts to ids on disk",
            "ours": round(rate),
            "peer": round(peer),
            "ratio": round(rate / peer, 2),
            "spread": spread([one / other for one, other in zip(ours, theirs, strict=True)]),
            "bar": 1,
            "met": rate >= peer,
        }
    )
    print(json.dumps({"name": "pretrain", "met": all(result["met"] for result in results), "results": results}))


if __name__ == "__main__":
    if sys.argv[1:]:
        print(LEGS[sys.argv[1]](Path(sys.argv[2])))
    else:
        main()
