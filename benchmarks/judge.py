"""480 judgments at 1 s latency: `eval.judging.judge` through the openai client against the same work by FastChat.

Run: python benchmarks/judge.py. The last line is one JSON object. The server is `tests/fake_openai.py` in a process of
its own; every reply takes 1 s, so no client can be faster than 480 / in flight, rounded up, seconds. The time counts
from opening the model to the last parsed verdict, journal included. FastChat's figures (gen_judgment.py --parallel 64
and --parallel 256, same latency, 2 cores) are constants: it cannot be installed beside current versions of its
dependencies.
"""

import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.spread import spread
from camelid.models.model_run import ModelRun
from camelid.models.openai_api import OpenAIModel
from eval.ask.answer import Answer
from eval.ask.questions import Question
from eval.judging.judge import judge_all, plan_requests
from eval.judging.modes.single import SINGLE

ROOT = Path(__file__).parents[1]
JUDGMENTS, LATENCY, RUNS = 480, 1.0, 3
FASTCHAT = {64: 10.7, 256: 5.5}  # seconds
BARS = {64: 9.0, 256: 3.5}  # seconds


def judge(url: str, in_flight: int) -> tuple[float, float]:
    """Seconds by the clock and of the processor for all judgments, in a fresh event loop and with a fresh client."""
    questions = [
        Question(str(number), "all", (f"Question {number}?",), (f"Answer {number}.",)) for number in range(JUDGMENTS)
    ]
    answers = [Answer(question.id, "m", ("An answer. " * 40,), (False,)) for question in questions]
    with tempfile.TemporaryDirectory() as folder:
        started, used = time.perf_counter(), _processor()
        with ModelRun(OpenAIModel("fake", [url], in_flight), Path(folder) / "journal.jsonl", in_flight) as model:
            judgments = model.run(judge_all(model, plan_requests(SINGLE, "fake", questions, answers), quiet=True))
        seconds, processor = time.perf_counter() - started, _processor() - used
    assert len(judgments) == JUDGMENTS and all(judgment.scores for judgment in judgments)
    return seconds, processor


def _processor() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(ROOT / "tests" / "fake_openai.py"), "--port", str(port), "--latency", str(LATENCY)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)})
    results: list[dict[str, Any]] = []
    try:
        assert server.stdout is not None
        server.stdout.readline()  # "serving at ..."
        url = f"http://127.0.0.1:{port}/v1"
        judge(url, 256)  # imports, and the server's first connections
        for in_flight, peer in FASTCHAT.items():
            runs = [judge(url, in_flight) for _ in range(RUNS)]
            seconds, processor = (statistics.median(column) for column in zip(*runs, strict=True))
            what = f"{JUDGMENTS} judgments at 1 s latency, {in_flight} in flight, seconds"
            print(f"{what}: {seconds:.2f} ({processor:.2f} of the processor), FastChat {peer}, bar {BARS[in_flight]}")
            row = {"what": what, "ours": round(seconds, 2), "peer": peer, "ratio": round(seconds / peer, 3)}
            row["spread"] = spread([once / peer for once, _ in runs])
            results.append({**row, "bar": f"<= {BARS[in_flight]}", "met": seconds <= BARS[in_flight]})
    finally:
        server.terminate()
        server.wait()
    print(json.dumps({"name": "judge", "met": all(row["met"] for row in results), "results": results}))


if __name__ == "__main__":
    main()
