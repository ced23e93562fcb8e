"""A run goes on exactly where it was, whatever ended it; and what goes wrong inside an update does not change it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.engine import checkpoint
from finetune.llama.model import Llama
from finetune.objectives import next_token
from tests.finetune.runs import ROOT, launch, metrics, run, tensors, variant, write
from tests.finetune.stop_after import StopAfter

UPDATES = 24


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, toy_model: Path, toy_data: Path) -> dict[str, Any]:
    """Several epochs of 4 micro-batches an update, the last one of an epoch shorter, with noise on the embeddings."""
    folder = tmp_path_factory.mktemp("survival")
    return {
        "model": {"path": str(toy_model)},
        "data": {"train": [{"path": str(toy_data)}], "template": "vicuna_v1.1", "max_length": 128},
        "optim": {"lr": 1e-3, "global_batch": 8, "micro_batch": 2, "updates": UPDATES, "neftune": 5.0},
        "run": {"output": str(folder / "run"), "precision": "fp32", "checkpoint_every": 1000},
    }


@pytest.fixture(scope="module")
def whole(recipe: dict[str, Any]) -> dict[str, Any]:
    """The uninterrupted run."""
    undisturbed = variant(recipe, "whole")
    assert run(undisturbed) == 0
    epochs = [record["epoch"] for record in metrics(undisturbed)]
    assert max(epochs) >= 3
    return undisturbed


def assert_equal(ours: dict[str, Any], truth: dict[str, Any], tolerance: float = 0.0) -> None:
    for name, tensor in tensors(truth).items():
        torch.testing.assert_close(tensors(ours)[name], tensor, rtol=0, atol=tolerance)
    for mine, theirs in zip(metrics(ours), metrics(truth), strict=True):
        assert mine["update"] == theirs["update"]
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=tolerance, abs=0)


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.engine.run_updates.StopSignal", StopAfter)


@pytest.mark.parametrize("moments", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_resumes_bitwise_at_random_moments(
    recipe: dict[str, Any], whole: dict[str, Any], stopping: None, moments: int
) -> None:
    ours, chance = variant(recipe, f"stopped-{moments}"), random.Random(0)
    places = []
    for _ in range(moments):
        StopAfter.left = chance.randint(2, 9)  # 5 questions an update
        assert run(ours) == 128 + signal.SIGTERM
        newest = checkpoint.latest_checkpoint(Path(ours["run"]["output"]) / "checkpoints")
        places.append(newest and newest.name)
    assert len(set(places)) > moments / 2  # it did come forward in between
    StopAfter.left = 10**6
    assert run(ours) == 0
    assert_equal(ours, whole)


def test_a_finished_run_goes_on_with_more_epochs(recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """At a constant rate as if it had been asked for all of them at once; what was done is not done again."""
    steady = {"optim__updates": None, "optim__schedule": "constant", "optim__warmup_ratio": 0.0}
    truth = variant(recipe, "long", optim__epochs=2.0, **steady)
    ours = variant(recipe, "longer", optim__epochs=1.0, **steady)
    assert run(truth) == run(ours) == 0
    folder = Path(ours["run"]["output"])
    first = (folder / "metrics.jsonl").read_bytes()
    ours["optim"]["epochs"] = 2.0
    assert run(ours) == 0
    assert (folder / "metrics.jsonl").read_bytes().startswith(first)
    assert_equal(ours, truth)
    ours["optim"]["epochs"] = 1.5
    assert run(ours) == 2
    assert "goes on only with more of what ended it" in capsys.readouterr().err
    ours["optim"]["epochs"] = 2.0
    assert run(ours) == 0 and "has already finished" in capsys.readouterr().out


@pytest.mark.slow
def test_goes_on_with_another_number_of_processes(recipe: dict[str, Any], tmp_path: Path, stopping: None) -> None:
    """One process to two, and two with fully_shard to one; embeddings without noise, which is drawn per process."""
    recipe = variant(recipe, "any", optim__neftune=0.0)
    truth, growing = variant(recipe, "truth"), variant(recipe, "growing")
    shrinking = variant(recipe, "shrinking", run__checkpoint_every=7, run__keep_checkpoints=9, run__sharding="fsdp2")
    StopAfter.left = 10**6
    assert run(truth) == 0
    StopAfter.left = 33
    assert run(growing) == 128 + signal.SIGTERM
    result = launch([variant(growing, "growing", run__sharding="fsdp2"), shrinking], 2)
    assert result.returncode == 0, result.stderr[-3000:]
    assert_equal(growing, truth, 1e-5)
    folder = Path(shrinking["run"]["output"])
    for late in ("summary.json", *(f"checkpoints/update-000000{number}" for number in (14, 21, 24))):
        (folder / late).rename(tmp_path / Path(late).name)
    StopAfter.left = 10**6
    assert run(variant(shrinking, "shrinking", run__sharding=None)) == 0
    assert_equal(shrinking, truth, 1e-5)


def test_sigterm_saves_and_leaves(recipe: dict[str, Any], whole: dict[str, Any]) -> None:
    ours = variant(recipe, "terminated")
    variables = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    process = subprocess.Popen(
        [sys.executable, "-m", "finetune.train", str(write(ours)), "--quiet"],
        cwd=ROOT,
        env={**variables, "OMP_NUM_THREADS": "1", "OMP_DISPLAY_ENV": "verbose"},
        stderr=subprocess.PIPE,
        text=True,
    )
    log = Path(ours["run"]["output"]) / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not log.is_file() or log.stat().st_size == 0:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.terminate()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert "the same command resumes there" in errors and "Traceback" not in errors
    assert "GOMP_SPINCOUNT = '1000'" in errors  # says GNU's OpenMP itself as it is loaded: `finetune/__init__.py`
    assert run(ours) == 0
    assert_equal(ours, whole)


@pytest.mark.slow
def test_sigkill_at_twenty_random_moments(recipe: dict[str, Any]) -> None:
    """With a save after every third update, many of them are hit in the middle."""
    recipe = variant(recipe, "kills", optim__updates=400, run__checkpoint_every=3)
    truth, ours = variant(recipe, "unkilled"), variant(recipe, "killed")
    folder, chance = Path(ours["run"]["output"]), random.Random(1)
    context = get_context("forkserver")
    context.set_forkserver_preload(["finetune.train"])
    for _ in range(20):
        before = _newest(folder)
        process = context.Process(target=run, args=(ours,))
        process.start()
        while _newest(folder) == before and process.is_alive():  # a checkpoint more each time, or it would never end
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        process.join()
        done = len((folder / "metrics.jsonl").read_bytes().splitlines())
        assert done - _newest(folder) <= 3
    assert run(ours) == 0
    assert run(truth) == 0
    assert_equal(ours, truth)


def test_a_kill_while_an_old_checkpoint_is_removed(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of it must not be taken for a complete one."""
    ours = variant(recipe, "removing", run__checkpoint_every=2, run__keep_checkpoints=1)

    def killed(path: Path, ignore_errors: bool = False) -> None:
        if (path / "position.json").is_file():
            (path / "position.json").unlink()
            raise OSError("killed here")

    monkeypatch.setattr(checkpoint.shutil, "rmtree", killed)
    assert run(ours) == 2
    monkeypatch.undo()
    assert run(ours) == 0
    assert [path.name for path in (Path(ours["run"]["output"]) / "checkpoints").iterdir()] == ["update-00000024"]


def _newest(folder: Path) -> int:
    found = checkpoint.latest_checkpoint(folder / "checkpoints")
    return int(found.name[-8:]) if found else 0


def test_out_of_memory_splits_without_changing_the_update(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model refuses more than 130 tokens at once, at first in the middle of an update."""
    truth = variant(recipe, "roomy", optim__neftune=0.0)
    ours = variant(truth, "cramped")
    assert run(truth) == 0
    forward, calls = Llama.forward, iter(range(10**6))

    def cramped(self: Llama, input_ids: torch.Tensor, *args: Any, **options: Any) -> Any:
        if next(calls) >= 6 and input_ids.numel() > 130:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, input_ids, *args, **options)

    monkeypatch.setattr(Llama, "forward", cramped)
    assert run(ours) == 0
    said = capsys.readouterr().out
    assert "out of memory: micro-batches are cut into 2 parts from here on; the update stays the same" in said
    assert_equal(ours, truth, 1e-5)


CRAMPED = """
import os
import sys
import torch
from finetune.llama.model import Llama
from finetune.objectives import next_token
from finetune.train import main

def cramped(self, *args, **options):
    raise torch.OutOfMemoryError("CUDA out of memory.")

if os.environ["RANK"] == sys.argv[1]:
    Llama.forward = cramped
sys.exit(main([sys.argv[2], "--quiet"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "who"), [(0, ""), (1, "process 1: ")])
def test_out_of_memory_on_one_of_two_processes_stops_both(
    recipe: dict[str, Any], tmp_path: Path, rank: int, who: str
) -> None:
    script = tmp_path / "cramped.py"
    script.write_text(CRAMPED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [*command, str(rank), str(write(variant(recipe, f"cramped-{rank}")))],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert result.returncode != 0
    said, root_cause = result.stderr.split("Root Cause")  # torchrun's summary repeats it below its own traceback
    error = "out of memory (CUDA out of memory.); halve optim.micro_batch"
    assert said.count(f"camelid: error: {who}{error}") == 1
    assert f"camelid: error: {error}" in root_cause


def test_a_document_that_does_not_fit_is_one_line(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(self: Llama, *args: Any, **options: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(Llama, "forward", never)
    assert run(variant(recipe, "never")) == 2
    assert "out of memory with a single document" in capsys.readouterr().err


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[int]]:
    """Micro-batches, counted from 0, whose loss is NaN."""
    numbers: set[int] = set()
    loss, calls = next_token.token_loss, iter(range(10**6))

    def sometimes(*args: Any, **options: Any) -> torch.Tensor:
        value = loss(*args, **options)
        return value * float("nan") if next(calls) in numbers else value

    monkeypatch.setattr(next_token, "token_loss", sometimes)
    yield numbers


def test_nan_skips_the_update_and_is_counted(recipe: dict[str, Any], broken: set[int]) -> None:
    ours = variant(recipe, "one-nan", optim__updates=6)
    broken.add(5)  # in the second update
    assert run(ours) == 0
    records = metrics(ours)
    assert [record["skipped"] for record in records] == [False, True, False, False, False, False]
    assert records[1]["loss"] is None and all(record["loss"] < 7 for record in records[2:])
    assert json.loads((Path(ours["run"]["output"]) / "summary.json").read_text())["skipped_updates"] == 1
    assert all(tensor.isfinite().all() for tensor in tensors(ours).values())


def test_nan_without_end_stops_the_run(
    recipe: dict[str, Any], broken: set[int], capsys: pytest.CaptureFixture[str]
) -> None:
    broken.update(range(4, 10**4))
    ours = variant(recipe, "nans", optim__max_skipped=2)
    assert run(ours) == 2
    assert "update 4: 3 updates in a row had a NaN or infinite gradient" in capsys.readouterr().err
    assert len(metrics(ours)) == 4


def test_full_disk_is_said_before_the_old_checkpoint_is_touched(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = variant(recipe, "full", run__checkpoint_every=2, run__keep_checkpoints=1)
    usage, answers = namedtuple("usage", "total used free"), iter([10**12])
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda path: usage(0, 0, next(answers, 1000)))
    assert run(ours) == 2
    error = capsys.readouterr().err
    assert "a checkpoint needs" in error and "update-00000002" in error
    monkeypatch.undo()
    assert [path.name for path in (Path(ours["run"]["output"]) / "checkpoints").glob("update-*")] == ["update-00000002"]
    assert run(ours) == 0


@pytest.mark.slow
def test_last_and_best_checkpoints_stay(recipe: dict[str, Any]) -> None:
    """With a huge learning rate the first validation is the best one."""
    ours = variant(recipe, "best", data__validation=0.2, run__evaluate_every=3, run__keep_checkpoints=2, optim__lr=0.3)
    assert run(ours) == 0
    folder = Path(ours["run"]["output"])
    validated = {record["update"]: record["validation_loss"] for record in metrics(ours) if record["validation_loss"]}
    assert list(validated) == list(range(3, UPDATES + 1, 3))
    best = min(validated, key=lambda number: validated[number])
    kept = {int(path.name[-8:]) for path in (folder / "checkpoints").iterdir()}
    assert kept == {best, 21, 24}
    samples = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert {sample["update"] for sample in samples} == set(range(3, UPDATES + 1, 3))
    assert all(sample["prompt"].endswith("ASSISTANT:") and sample["reference"] for sample in samples)


def test_checkpoint_of_another_model_is_one_line(
    recipe: dict[str, Any], toy_model: Path, tmp_path: Path, stopping: None, capsys: pytest.CaptureFixture[str]
) -> None:
    from finetune.folders import weights
    from finetune.llama.config import LlamaConfig

    base = tmp_path / "base"
    base.symlink_to(toy_model)
    ours = variant(recipe, "other", model__path=str(base))
    StopAfter.left = 12
    assert run(ours) == 128 + signal.SIGTERM
    base.unlink()
    (Path(ours["run"]["output"]) / "base.json").unlink()  # as in a folder of version 0.2
    config = LlamaConfig.from_folder(toy_model)
    smaller = LlamaConfig(**{**config.__dict__, "num_hidden_layers": 1})
    weights.save_model(weights.init_model(smaller, seed=0).state_dict(), smaller, base)
    for file in toy_model.glob("tokenizer*"):
        (base / file.name).write_bytes(file.read_bytes())
    assert run(ours) == 2
    assert "the checkpoint is of another model (num_hidden_layers = 2, model.path has 1)" in capsys.readouterr().err
