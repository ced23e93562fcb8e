"""A launched run is stopped through its launcher, and never outlives it for long."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from tests.finetune.runs import ROOT, variant, write

LAUNCH = ROOT / "recipes" / "launch"
pytestmark = pytest.mark.slow
TWO_ON_CPU = {"compute_environment": "LOCAL_MACHINE", "distributed_type": "MULTI_GPU", "num_machines": 1}


def begin(recipe: dict[str, Any], launch: Path) -> subprocess.Popen[str]:
    """Start a run and wait for its first update."""
    command = [
        sys.executable,
        "-m",
        "camelid.app.cli",
        "finetune",
        str(write(recipe)),
        "--launch",
        str(launch),
        "--quiet",
    ]
    inherited = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment = {**inherited, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    log, deadline = Path(recipe["run"]["output"]) / "metrics.jsonl", time.monotonic() + 180
    while not log.is_file() or log.stat().st_size == 0:
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    return process


def saved(recipe: dict[str, Any]) -> list[str]:
    return [path.name for path in (Path(recipe["run"]["output"]) / "checkpoints").glob("update-*")]


@pytest.fixture
def recipe(toy_recipe: dict[str, Any]) -> dict[str, Any]:
    """Longer than the test, saving nothing by itself."""
    return variant(toy_recipe, "launched", optim__updates=100_000, run__checkpoint_every=200_000)


def test_sigterm_reaches_the_trainer(recipe: dict[str, Any]) -> None:
    process = begin(recipe, LAUNCH / "cpu.yaml")
    [worker] = psutil.Process(process.pid).children()
    variables = worker.environ()
    process.terminate()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert "the same command resumes there" in errors and "Traceback" not in errors
    assert len(saved(recipe)) == 1 and not worker.is_running()
    assert variables["OMP_NUM_THREADS"] == "1"  # as `begin` says, whatever cores there are
    assert variables["GOMP_SPINCOUNT"] == "1000"  # `finetune/__init__.py`


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_several_are_stopped_without_a_fuss(recipe: dict[str, Any], tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(TWO_ON_CPU | {"num_processes": 2, "mixed_precision": "no"}))
    process = begin(recipe, tmp_path / "two.yaml")
    workers = psutil.Process(process.pid).children()
    # Ctrl-C goes to all processes of a terminal, SIGTERM to the one that it was sent to.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "the same command resumes there" in errors and "Traceback" not in errors and "exitcode" not in errors
    assert len(saved(recipe)) == 1 and len(workers) == 2 and not any(worker.is_running() for worker in workers)


def test_workers_of_a_killed_launcher_save_and_leave(recipe: dict[str, Any]) -> None:
    process = begin(recipe, LAUNCH / "cpu.yaml")
    [worker] = psutil.Process(process.pid).children()
    process.kill()
    process.communicate(timeout=120)
    worker.wait(timeout=60)
    assert len(saved(recipe)) == 1


def test_a_launched_mistake_is_one_line(recipe: dict[str, Any]) -> None:
    """Nothing of the launcher's own."""
    recipe["data"]["train"] = [{"path": "missing.jsonl"}]
    command = [
        sys.executable,
        "-m",
        "camelid.app.cli",
        "finetune",
        str(write(recipe)),
        "--launch",
        str(LAUNCH / "cpu.yaml"),
    ]
    result = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert result.returncode == 2
    [line] = [line for line in result.stderr.splitlines() if "error" in line.lower()]
    assert line.startswith("camelid: error: data.train: missing.jsonl: no such file")
    assert "Traceback" not in result.stderr
