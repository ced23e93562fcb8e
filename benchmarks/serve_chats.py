"""A system prompt that 64 chats share, time to the first token under load, and transformers' own `serve`.

Run: python benchmarks/serve_chats.py. The last line is one JSON object. The model has the demo's shape
(recipes/models/tiny.yaml) and random weights. Each chat has a system prompt of about 512 tokens, a question of about
32 and an answer of 32; all are asked at once. The same server runs with and without what it keeps of prompts, in turn.
transformers answers the same chats in a process of its own; it has the same tokens of prompts to read.
"""

import asyncio
import json
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.serve import CAMELID, ROOT, make_model
from benchmarks.spread import spread

CHATS, SYSTEM, ASKED, ANSWERED, RUNS = 64, 512, 32, 32, 3
CACHE_BAR = 2.0  # times the throughput of the same server that keeps nothing
WORDS = "red green blue small quick slow cat dog bird house tree walks sees river stone".split()
# The command line with nothing kept of prompts; there is no option for it.
WITHOUT = (
    "import sys, finetune.serve.engine as engine; engine.KEPT = 0; from camelid.app.cli import main; sys.exit(main())"
)


def text_of(tokenizer: Any, tokens: int, seed: int) -> str:
    """Words of so many tokens."""
    rng, words = random.Random(seed), list[str]()
    while len(tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]) < tokens:
        words.append(rng.choice(WORDS))
    return " ".join(words)


async def ask(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> float:
    """Seconds to the first piece of text, once the stream has come to its end."""
    started, first = time.perf_counter(), None
    async with session.post(f"{url}/chat/completions", json=body) as reply:
        assert reply.status == 200, await reply.text()
        async for line in reply.content:
            if line.startswith(b"data: {"):
                delta = (json.loads(line[6:])["choices"] or [{"delta": {}}])[0]["delta"]
                if delta.get("content") and first is None:
                    first = time.perf_counter() - started
    return time.perf_counter() - started if first is None else first


async def measure(url: str, bodies: list[dict[str, Any]]) -> tuple[float, float]:
    """Seconds for all chats asked at once, and the median of those to a first token."""
    limit = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=limit) as session:
        started = time.perf_counter()
        firsts = await asyncio.gather(*(ask(session, url, body) for body in bodies))
        return time.perf_counter() - started, statistics.median(firsts)


@contextmanager
def camelid(folder: str, kept: bool) -> Iterator[str]:
    """A server of the model; its address."""
    start = CAMELID if kept else [sys.executable, "-c", WITHOUT]
    with subprocess.Popen(
        [*start, "serve", f"demo={folder}", "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split(" at ")[1].split(",")[0]
        finally:
            server.terminate()


@contextmanager
def transformers_serve(folder: str) -> Iterator[str]:
    """transformers' own server of the model; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", folder, "--port", str(port)]
    options = ["--host", "127.0.0.1", "--device", "cpu", "--dtype", "float32", "--log-level", "error"]
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as server:
        try:
            for _ in range(600):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def chats(tokenizer: Any, model: str, run: int) -> list[dict[str, Any]]:
    """Requests; each run has a system prompt of its own, so that nothing is known of it."""
    system = text_of(tokenizer, SYSTEM, 1000 + run)
    questions = [text_of(tokenizer, ASKED, 100 * run + index) for index in range(CHATS)]
    return [
        {
            "model": model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
            "max_tokens": ANSWERED,
            "temperature": 0.8,
            "seed": index,
            "stream": True,
        }
        for index, question in enumerate(questions)
    ]


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        from transformers import AutoTokenizer

        folder = make_model(place)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        found: dict[str, list[tuple[float, float]]] = {"kept": [], "without": [], "transformers": []}
        with camelid(folder, True) as kept, camelid(folder, False) as without:
            for run in range(RUNS + 1):
                for name, url in (("kept", kept), ("without", without)):
                    found[name].append(asyncio.run(measure(url, chats(tokenizer, "demo", run))))
        with transformers_serve(folder) as url:
            few = chats(tokenizer, folder, 0)[:8]  # it answers one after the other: 64 would take minutes
            asyncio.run(measure(url, few[:1]))
            seconds, first = asyncio.run(measure(url, few))
            found["transformers"].append((seconds * CHATS / len(few), first * CHATS / len(few)))
    report({name: runs[1:] or runs for name, runs in found.items()})  # the first one warms up


def report(found: dict[str, list[tuple[float, float]]]) -> None:
    tokens = CHATS * ANSWERED
    for name, runs in found.items():
        seconds, first = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{name}: {tokens / seconds:,.0f} tokens/s, {1000 * first:,.0f} ms to the first token (median)")
    ratios = [without[0] / kept[0] for kept, without in zip(found["kept"], found["without"], strict=True)]
    ours, theirs = statistics.median(run[0] for run in found["kept"]), found["transformers"][0][0]
    results = [
        {
            "what": f"{CHATS} chats with one system prompt of {SYSTEM} tokens, tokens/s",
            "ours": round(tokens / ours),
            "peer": round(tokens / statistics.median(run[0] for run in found["without"])),
            "ratio": round(statistics.median(ratios), 2),
            "spread": spread(ratios),
            "bar": CACHE_BAR,
            "met": statistics.median(ratios) >= CACHE_BAR,
        },
        {
            "what": "the same, against transformers' `serve`, which answered 8 of them",
            "ours": round(tokens / ours),
            "peer": round(tokens / theirs),
            "ratio": round(theirs / ours, 2),
            "bar": 1.0,
            "met": theirs >= ours,
        },
    ]
    first = statistics.median(run[1] for run in found["kept"])
    what = {
        "first_token_ms": round(1000 * first),
        "first_token_ms_transformers": round(1000 * found["transformers"][0][1]),
    }
    print(
        json.dumps({"name": "serve_chats", "met": all(result["met"] for result in results), "results": results, **what})
    )


if __name__ == "__main__":
    main()
