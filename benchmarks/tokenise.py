"""Chats from JSON Lines to the tokens of a run, on one core and on all.

Run: python benchmarks/tokenise.py, on a machine with nothing else to do. The last line is one JSON object. 60,000
ShareGPT-like conversations go through what a run does before its first update: all records are checked, then written by
a template, tokenised, masked, and put on disk; each time in a process of its own, once.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.mask import chat, make_tokenizer, words

CHATS, DIFFERENT = 60_000, 3000
TOKENISE = """
import os, sys, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[3])])
from pathlib import Path
from transformers import AutoTokenizer
from finetune.data.token_data import load_tokens
from finetune.recipe import DataSection, DataSource
folder = Path(sys.argv[1])
section = DataSection((DataSource(str(folder / "chats.jsonl")),), "vicuna_v1.1", 2048)
tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
started = time.perf_counter()
tokens = load_tokens(folder / sys.argv[2], section, tokenizer, seed=0)
print(time.perf_counter() - started, int(tokens.lengths.sum()), tokens.ledgers[0].kept)
"""


def tokenise(folder: Path, name: str, cores: int) -> tuple[float, int]:
    """Seconds, and how many tokens came of it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", TOKENISE, str(folder), name, str(cores)]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert int(out[2]) == CHATS
    return float(out[0]), int(out[1])


def main() -> None:
    rng, vocabulary = Random(0), words()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_tokenizer(vocabulary, rng, folder)
        chats = [chat(rng, vocabulary, "", rng.randint(1, 8)) for _ in range(DIFFERENT)]
        with (folder / "chats.jsonl").open("w") as file:
            for number in range(CHATS):
                file.write(json.dumps(chats[number % DIFFERENT].to_json() | {"id": f"chat-{number}"}) + "\n")
        (one, tokens), (all_of_them, again) = (tokenise(folder, str(count), count) for count in (1, cores))
    assert tokens == again
    results = [
        {
            "what": f"{CHATS:,} conversations, {tokens:,} tokens: {cores} cores (ours) against one (peer), s",
            "ours": round(all_of_them, 1),
            "peer": round(one, 1),
            "ratio": round(one / all_of_them, 2),
            "bar": f">= {0.75 * cores:g}",
            "met": one / all_of_them >= 0.75 * cores,
        }
    ]
    print(json.dumps({"name": "tokenise", "met": all(row["met"] for row in results), "results": results}))


if __name__ == "__main__":
    main()
