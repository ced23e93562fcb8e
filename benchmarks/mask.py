"""Tokenising and masking against FastChat's `preprocess`, and how its time grows with the turns.

Run: python benchmarks/mask.py. The last line is one JSON object. The peer is `fschat` from PyPI in a venv of
its own, which shares this environment's torch and transformers so that both sides tokenise with the same
library. Both use all cores for what they tokenise in batches: FastChat half of its work, ours all of it. The
labels of the two must be the same.
"""

import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import sentencepiece
from transformers import AutoTokenizer

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers import fastchat_python
from benchmarks.spread import spread
from camelid.message import Conversation, Message
from conversations.tokens.sentencepiece_model import read_tokenizer
from conversations.tokens.template import get_template
from conversations.tokens.tokenize import Encoder

ROOT = Path(__file__).parents[1]
CHATS, PAIRS, MAX_LENGTH = 600, 5, 2048

PEERS = """
import json, sys, time
import numpy as np
from fastchat.train.train import preprocess
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], model_max_length=int(sys.argv[4]))
tokenizer.pad_token, tokenizer.legacy = tokenizer.unk_token, True
sources = json.load(open(sys.argv[2]))
preprocess(sources[:8], tokenizer)
started = time.perf_counter()
labels = preprocess(sources, tokenizer)["labels"]
print(time.perf_counter() - started)
np.save(sys.argv[3], labels.numpy())
"""


def words() -> list[str]:
    """The words of the seed tasks, as often as they occur there."""
    text = (ROOT / "selfinstruct" / "data" / "seed_tasks.jsonl").read_text(encoding="utf-8")
    return [word for word in text.replace('"', " ").replace("\\n", " ").split() if word.isascii()]


def chat(rng: Random, vocabulary: list[str], name: str, exchanges: int) -> Conversation:
    """About 20 words a question and 120 an answer, as in ShareGPT."""
    messages = []
    for _ in range(exchanges):
        messages.append(Message("user", " ".join(rng.choices(vocabulary, k=rng.randint(5, 35)))))
        messages.append(Message("assistant", " ".join(rng.choices(vocabulary, k=rng.randint(40, 200)))))
    return Conversation(name, tuple(messages))


def make_tokenizer(vocabulary: list[str], rng: Random, folder: Path) -> Any:
    """LLaMA's kind: SentencePiece BPE with byte fallback, in the legacy mode that FastChat's masks are made for."""
    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(" ".join(rng.choices(vocabulary, k=60)) for _ in range(2000)),
        model_writer=model,
        model_type="bpe",
        vocab_size=4000,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path = folder / "tokenizer.model"
    path.write_bytes(model.getvalue())
    read_tokenizer(path).save_pretrained(folder / "tokenizer")
    return AutoTokenizer.from_pretrained(folder / "tokenizer")


def same_labels(encoder: Encoder, chats: list[Conversation], labels: Any) -> int:
    """Number of conversations that fit; for each, FastChat's labels must be our trained ids."""
    compared = 0
    for conversation, label in zip(chats, labels, strict=True):
        tokens = encoder.encode(conversation)
        if len(tokens.ids) >= MAX_LENGTH:
            continue
        ours = np.full(MAX_LENGTH, -100)
        ours[: len(tokens.ids)] = np.where(tokens.weights > 0, tokens.ids, -100)
        assert (ours == label).all(), conversation.id
        compared += 1
    return compared


def seconds(encoder: Encoder, chats: list[Conversation]) -> float:
    started = time.perf_counter()
    for _ in encoder.encode_all(chats):
        pass
    return time.perf_counter() - started


def against_fastchat(folder: Path, rng: Random, vocabulary: list[str], encoder: Encoder) -> dict[str, Any]:
    chats = [chat(rng, vocabulary, f"chat{number}", rng.randint(1, 8)) for number in range(CHATS)]
    names = {"user": "human", "assistant": "gpt"}
    sources = [[{"from": names[m.role], "value": m.content} for m in one.messages] for one in chats]
    export, labels = folder / "chats.json", folder / "labels.npy"
    export.write_text(json.dumps(sources))
    command = [str(fastchat_python()), "-W", "ignore", "-c", PEERS]
    command += [str(folder / "tokenizer"), str(export), str(labels), str(MAX_LENGTH)]
    shared = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    seconds(encoder, chats[:8])
    mine, peers = [], []
    for _ in range(PAIRS):
        mine.append(seconds(encoder, chats))
        out = subprocess.run(command, capture_output=True, text=True, env=shared)
        if out.returncode:
            raise SystemExit(f"the peer failed:\n{out.stderr[-2000:]}")
        peers.append(float(out.stdout.split()[-1]))
    count = same_labels(encoder, chats, np.load(labels))
    ratios = [peer / ours for ours, peer in zip(mine, peers, strict=True)]
    ratio = statistics.median(ratios)
    what = f"tokenise and mask {CHATS} conversations, s (labels equal in {count} of {count})"
    return row(what, statistics.median(mine), statistics.median(peers), ratios, ">= 3", ratio >= 3)


def linear(rng: Random, vocabulary: list[str], encoder: Encoder) -> dict[str, Any]:
    """Time for the same turns in one conversation and in 32."""
    short = [chat(rng, vocabulary, f"short{number}", 8) for number in range(32)]
    long = Conversation("long", tuple(message for one in short for message in one.messages))
    times = []
    for _ in range(PAIRS):
        started = time.perf_counter()
        for conversation in short:
            encoder.encode(conversation)
        between = time.perf_counter()
        encoder.encode(long)
        times.append((between - started, time.perf_counter() - between))
        encoder.encode(short[0])  # or the next round would find the long one remembered
    ratios = [many / few for few, many in times]
    ratio = statistics.median(ratios)
    few, many = (statistics.median(column) for column in zip(*times, strict=True))
    what = "one conversation of 512 turns against 32 of 16 turns, s"
    return row(what, many, few, ratios, "<= 1.3", ratio <= 1.3)


def row(what: str, ours: float, peer: float, ratios: list[float], bar: str, met: bool) -> dict[str, Any]:
    ratio = statistics.median(ratios)
    print(f"{what:72s} ours {ours:7.3f}  peer {peer:7.3f}  ratio {ratio:5.2f}  bar {bar}  {'met' if met else 'MISSED'}")
    result = {"what": what, "ours": round(ours, 4), "peer": round(peer, 4), "ratio": round(ratio, 3)}
    return {**result, "spread": spread(ratios), "bar": bar, "met": met}


def main() -> None:
    rng, vocabulary = Random(0), words()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encoder = Encoder(get_template("vicuna_v1.1"), make_tokenizer(vocabulary, rng, folder))
        results = [against_fastchat(folder, rng, vocabulary, encoder), linear(rng, vocabulary, encoder)]
    print(json.dumps({"name": "mask", "met": all(result["met"] for result in results), "results": results}))


if __name__ == "__main__":
    main()
