"""64 concurrent streams against one at a time: `camelid serve` with continuous batching.

Run: python benchmarks/serve.py. The last line is one JSON object. The model has the demo's shape (recipes/models/
tiny.yaml) and random weights, so that answers run to their token limit; the server is a process of its own, and so is
the client, which checks that every stream is whole and is its own: the same seed gives the same text alone.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.spread import spread

ROOT = Path(__file__).parents[1]
STREAMS, ALONE, TOKENS, RUNS = 64, 6, 120, 3
BAR = 4.0  # times the throughput of one at a time
CAMELID = [sys.executable, "-m", "camelid.app.cli"]


async def stream(session: aiohttp.ClientSession, url: str, index: int) -> tuple[str, int]:
    """One answer: its text and how many tokens it has."""
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": f"Question {index}: what is {index} plus {index * 7 % 10}?"}],
        "max_tokens": TOKENS,
        "temperature": 0.8,
        "seed": index,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    text, tokens, done = "", 0, False
    async with session.post(f"{url}/chat/completions", json=body) as reply:
        assert reply.status == 200, await reply.text()
        async for line in reply.content:
            if line.startswith(b"data: [DONE]"):
                done = True
            elif line.startswith(b"data: "):
                event = json.loads(line[6:])
                text += "".join(choice["delta"].get("content") or "" for choice in event["choices"])
                tokens = (event["usage"] or {}).get("completion_tokens", tokens)
    assert done and tokens
    return text, tokens


async def measure(url: str) -> tuple[float, float]:
    """Tokens a second with one stream at a time, and with all at once."""
    limit = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=limit) as session:
        started = time.perf_counter()
        alone = [await stream(session, url, index) for index in range(ALONE)]
        single = sum(tokens for _, tokens in alone) / (time.perf_counter() - started)
        started = time.perf_counter()
        together = await asyncio.gather(*(stream(session, url, index) for index in range(STREAMS)))
        many = sum(tokens for _, tokens in together) / (time.perf_counter() - started)
    assert list(together[:ALONE]) == alone, "an answer depends on its neighbours"
    assert len({text for text, _ in together}) == STREAMS, "two streams got the same answer"
    return single, many


async def measure_all(url: str) -> list[tuple[float, float]]:
    await measure(url)  # warms up
    return [await measure(url) for _ in range(RUNS)]


def make_model(place: str) -> str:
    """A model of the demo's shape; its folder."""
    data = f"{place}/data.jsonl"
    generate = ["selfinstruct", "generate", "--model", "offline", "--count", "100", "--output", data, "--quiet"]
    subprocess.run([*CAMELID, *generate], cwd=ROOT, check=True)
    make = ["weights", "new", "recipes/models/tiny.yaml", f"{place}/model", "--data", data]
    subprocess.run([*CAMELID, *make, "--template", "vicuna_v1.1"], cwd=ROOT, check=True)
    return f"{place}/model"


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = make_model(place)
        serve = [*CAMELID, "serve", f"demo={folder}", "--port", "0"]
        with subprocess.Popen(serve, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            url = server.stdout.readline().split(" at ")[1].split(",")[0]
            pairs = asyncio.run(measure_all(url))
            status = Path(f"/proc/{server.pid}/status")
            peak = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM"))
            server.terminate()
    single, many = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = [many / single for single, many in pairs]
    ratio = statistics.median(ratios)
    print(f"one stream at a time: {single:,.0f} tokens/s; {STREAMS} at once: {many:,.0f} tokens/s; {ratio:.1f}x")
    print(f"peak memory of the server: {int(peak) / 1024:,.0f} MiB")
    result = {
        "what": f"{STREAMS} concurrent streams, tokens/s",
        "ours": round(many),
        "peer": round(single),
        "ratio": round(ratio, 2),
        "spread": spread(ratios),
        "bar": BAR,
        "met": ratio >= BAR,
    }
    print(json.dumps({"name": "serve", "met": result["met"], "results": [result]}))


if __name__ == "__main__":
    main()
