"""A run is the same however its answers are cut into micro-batches, spread over processes, or laid out."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetune.ppo import collect
from finetune.ppo.rollouts import rollout_data
from tests.finetune.ppo.final_state import assert_same_models
from tests.finetune.ppo.world import recipe_of, write_world
from tests.finetune.runs import launch, metrics, run, variant

SAID = (
    "loss",
    "grad_norm",
    "reward",
    "kl",
    "beta",
    "entropy",
    "answer_tokens",
    "value_loss",
    "held_out_reward",
    "moved",
)
KINDS: dict[str, dict[str, Any]] = {
    "critic": {"advantage": "critic", "whiten": True, "unfinished_penalty": 0.5},
    "leave-one-out": {"advantage": "leave-one-out", "answers": 4, "target_kl": 0.5},
    "group": {"advantage": "group", "answers": 4},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_world(tmp_path_factory.mktemp("world"), uniform=False)


def recipe(kind: str, world: dict[str, Path], folder: Path, iterations: int) -> dict[str, Any]:
    """Iterations of 64 answers in four updates."""
    ours = recipe_of(world, folder / "run", batch=64, gold=f"{world['worth']}:overrated", **KINDS[kind])
    ours["optim"] |= {"global_batch": 16, "micro_batch": 1, "lr": 1e-3, "updates": 4 * iterations, "weight_decay": 0.1}
    ours["data"]["validation"] = 0.2
    ours["run"]["evaluate_every"] = 8
    return ours


def assert_same(ours: dict[str, Any], truth: dict[str, Any]) -> None:
    """Metrics and the final policy; of PPO the final critic, too."""
    for mine, theirs in zip(metrics(ours), metrics(truth), strict=True):
        for name in SAID:
            assert (name in mine) == (name in theirs)
            if theirs.get(name) is not None:
                assert mine[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-5), (name, mine["update"])
    assert_same_models(ours, truth)


@pytest.mark.slow
def test_micro_batches_make_no_difference(world: dict[str, Path], tmp_path: Path) -> None:
    truth = recipe("critic", world, tmp_path, 1)
    ours = variant(truth, "five", optim__micro_batch=5)
    assert run(truth) == 0 and run(ours) == 0
    assert_same(ours, truth)


@pytest.mark.parametrize(
    ("kind", "iterations"),
    [("group", 2), *(pytest.param(kind, 5, marks=pytest.mark.slow) for kind in ("group", "leave-one-out"))],
)
def test_answers_may_share_their_prompt_or_not(
    kind: str, iterations: int, world: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metrics and final weights; a critic has one answer to a prompt, and so nothing to share.

    With LLaMA 2's eps: a gradient that is 0 but for rounding is moved by Adam with eps 1e-8 all the same.
    """
    runs, changes = [], {"optim__micro_batch": 4, "optim__eps": 1e-5, "data__max_length": 128}
    for name, share_from in (("shared", 0.0), ("apart", 2.0)):
        monkeypatch.setattr(collect, "rollout_data", partial(rollout_data, share_from=share_from))
        runs.append(variant(recipe(kind, world, tmp_path, iterations), name, **changes))
        assert run(runs[-1]) == 0
    shared, apart = (metrics(each) for each in runs)
    assert shared[-1]["total_tokens"] < 0.8 * apart[-1]["total_tokens"]
    assert_same(*runs)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_micro_batches_and_processes_make_no_difference(kind: str, world: dict[str, Path], tmp_path: Path) -> None:
    """Over five iterations."""
    truth = recipe(kind, world, tmp_path, 5)
    several = [variant(truth, f"micro-{size}", optim__micro_batch=size) for size in (3, 8)]
    for each in (truth, *several):
        assert run(each) == 0
    ddp = variant(truth, "ddp", optim__micro_batch=3)
    fsdp2 = variant(truth, "fsdp2", optim__micro_batch=3, run__sharding="fsdp2")
    launched = launch([ddp, fsdp2], 2)
    assert launched.returncode == 0, launched.stderr[-3000:]
    for each in (*several, ddp, fsdp2):
        assert_same(each, truth)


@pytest.mark.slow
def test_an_adapter_in_every_layout(world: dict[str, Path], tmp_path: Path) -> None:
    """Its start is the model with the adapter switched off; under fsdp2 the sampler's copy has the adapter, too."""
    truth = recipe("leave-one-out", world, tmp_path, 3)
    truth["adapter"] = {"kind": "lora", "rank": 4}
    assert run(truth) == 0
    assert metrics(truth)[0]["kl"] == pytest.approx(0.0, abs=1e-5) and metrics(truth)[-4]["kl"] > 0.01
    ddp = variant(truth, "ddp", optim__micro_batch=3)
    fsdp2 = variant(truth, "fsdp2", optim__micro_batch=3, run__sharding="fsdp2")
    launched = launch([ddp, fsdp2], 2)
    assert launched.returncode == 0, launched.stderr[-3000:]
    for each in (ddp, fsdp2):
        for mine, theirs in zip(metrics(each), metrics(truth), strict=True):
            assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-4, abs=1e-5)


@pytest.mark.slow
def test_rewards_are_whitened_over_all_processes(world: dict[str, Path], tmp_path: Path) -> None:
    """The raw rewards of the log, of two processes, give the mean and spread that all were whitened by."""
    ours = recipe("critic", world, tmp_path, 1)
    launched = launch([ours], 2)
    assert launched.returncode == 0, launched.stderr[-3000:]
    lines = (Path(ours["run"]["output"]) / "rollouts.jsonl").read_text().splitlines()
    rewards = np.array([json.loads(line)["reward"] for line in lines])
    assert rewards.size == 64
    first = metrics(ours)[0]
    assert first["reward"] == pytest.approx(rewards.mean(), abs=1e-12)
    assert first["reward_deviation"] == pytest.approx(rewards.std(), abs=1e-12)
    white = (rewards - first["reward"]) / first["reward_deviation"]
    assert abs(white.mean()) < 1e-6 and abs(white.std() - 1) < 1e-6
