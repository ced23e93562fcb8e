"""A run goes on exactly where it was killed, wherever in an iteration: policy, critic and metrics, to the bit."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.engine import stop
from finetune.engine.checkpoint import all_checkpoints
from finetune.ppo import run_iterations
from finetune.ppo.rewards import Rewards
from finetune.ppo.sampler import NativeSampler
from tests.finetune.ppo.final_state import final_state
from tests.finetune.ppo.killed_runs import killing
from tests.finetune.ppo.world import recipe_of
from tests.finetune.runs import metrics, run, tensors, variant
from tests.finetune.stop_after import StopAfter

CLOCKS = ("seconds", "tokens_per_second", "trained_tokens_per_second", "memory_gb", "seconds_sampling")
MINIBATCHES, UPDATES = 8, 16


@pytest.fixture(scope="module")
def recipe(world: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return two_iterations(world, tmp_path_factory.mktemp("survival") / "run")


@pytest.fixture(scope="module")
def whole(recipe: dict[str, Any]) -> dict[str, Any]:
    return unbroken_run(recipe)


def two_iterations(world: dict[str, Path], output: Path) -> dict[str, Any]:
    """PPO with a critic and a target of its KL: two iterations of 8 minibatches, a save after every third update."""
    ours = recipe_of(world, output, batch=16, whiten=True, target_kl=1.0)
    ours["optim"] |= {"global_batch": 2, "micro_tokens": 80, "updates": UPDATES}
    ours["run"]["checkpoint_every"] = 3
    return ours


def unbroken_run(recipe: dict[str, Any]) -> dict[str, Any]:
    """Of one process."""
    unbroken = variant(recipe, "whole")
    assert run(unbroken) == 0
    assert len(metrics(unbroken)) == UPDATES
    return unbroken


def assert_equal(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for name in theirs:
            assert_equal(ours[name], theirs[name])
    elif isinstance(theirs, list | tuple):
        for one, other in zip(ours, theirs, strict=True):
            assert_equal(one, other)
    elif isinstance(theirs, torch.Tensor):
        assert torch.equal(ours, theirs)
    else:
        assert ours == theirs


def assert_same_run(ours: dict[str, Any], truth: dict[str, Any]) -> None:
    assert_equal(tensors(ours), tensors(truth))
    mine, theirs = final_state(ours), final_state(truth)
    assert "critic" in theirs and len(theirs["critic"]["model"]) > 10
    assert_equal(mine, theirs)
    lines = [[{k: v for k, v in line.items() if k not in CLOCKS} for line in metrics(each)] for each in (ours, truth)]
    assert lines[0] == lines[1]
    logs = [Path(each["run"]["output"]) / "rollouts.jsonl" for each in (ours, truth)]
    assert logs[0].read_text() == logs[1].read_text()


def in_child(work: Callable[[], int]) -> int:
    """The wait status of a process forked from this one, which has imported everything."""
    child = os.fork()
    if child == 0:
        stop.LAUNCHER = os.getppid()
        os._exit(work())
    return os.waitpid(child, 0)[1]


@pytest.mark.parametrize(
    ("where", "name", "call"),
    [
        # In the second iteration, whose first update is the ninth.
        pytest.param(NativeSampler, "write", 2, marks=pytest.mark.slow),
        pytest.param(Rewards, "scores", 2, marks=pytest.mark.slow),
        pytest.param(run_iterations, "run_update", 2 * (MINIBATCHES + 4) + 1, marks=pytest.mark.slow),
        (run_iterations, "run_update", 2 * (MINIBATCHES + 4) + 2),  # minibatch 5 of 8, between policy and critic
    ],
    ids=["roll-outs", "scoring", "minibatch-5", "between-the-models"],
)
def test_sigkill(
    where: Any, name: str, call: int, recipe: dict[str, Any], whole: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    ours = variant(recipe, f"killed-{name}-{call}")
    with monkeypatch.context() as patched:
        patched.setattr(where, name, killing(getattr(where, name), call))
        assert in_child(lambda: run(ours)) == signal.SIGKILL
    assert 0 < done_of(ours) < UPDATES
    assert run(ours) == 0
    assert_same_run(ours, whole)


def done_of(recipe: dict[str, Any]) -> int:
    """Updates that the newest checkpoint holds."""
    return int(all_checkpoints(Path(recipe["run"]["output"]) / "checkpoints")[-1].name[-8:])


@pytest.mark.slow
def test_sigterm(recipe: dict[str, Any], whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of an iteration, at its end, and with other micro-batches after it."""
    monkeypatch.setattr(run_iterations, "StopSignal", StopAfter)
    ours = variant(recipe, "stopped")
    for updates in (5, 3, 6):
        StopAfter.left = updates
        assert run(ours) == 128 + signal.SIGTERM
    StopAfter.left = 10**6
    assert run(ours) == 0
    assert_same_run(ours, whole)
