"""A run of two processes goes on where one of them was killed, as they were or as any other number, in any layout.

Policy, critic, metrics and validation are those of an unbroken run of one process, to 1e-5.
"""

import signal
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest

from camelid.files.read import read_jsonl
from finetune.ppo import run_iterations
from tests.finetune.ppo.final_state import assert_near, assert_same_models
from tests.finetune.ppo.killed_runs import Kill, killing, train_each
from tests.finetune.ppo.test_survival import (
    CLOCKS,
    MINIBATCHES,
    UPDATES,
    done_of,
    in_child,
    two_iterations,
    unbroken_run,
)
from tests.finetune.ppo.world import write_world
from tests.finetune.runs import run, variant

pytestmark = pytest.mark.slow
# In the second iteration, whose first update is the ninth; an update of the policy and one of the critic each time.
MINIBATCH_5 = 2 * (MINIBATCHES + 4) + 1
KILLS = (
    Kill(1, "roll-outs", 3),  # the first was of what is held out
    Kill(0, "roll-outs", 3),
    Kill(1, "scoring", 3),
    Kill(0, "scoring", 3),
    Kill(1, "update", MINIBATCH_5),
    Kill(0, "update", MINIBATCH_5 + 1),  # between policy and critic
)
LAYOUTS = ("none", "fsdp2")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """With some prompts held out."""
    folder = tmp_path_factory.mktemp("several")
    ours = two_iterations(write_world(folder / "world", uniform=False), folder / "run")
    ours["optim"]["lr"], ours["data"]["validation"], ours["run"]["evaluate_every"] = 1e-3, 0.2, 10
    return ours


@pytest.fixture(scope="module")
def whole(recipe: dict[str, Any]) -> dict[str, Any]:
    return unbroken_run(recipe)


def assert_same_run(ours: dict[str, Any], truth: dict[str, Any]) -> None:
    assert_same_models(ours, truth)
    for name in ("metrics.jsonl", "validation.jsonl", "rollouts.jsonl"):
        lines = [
            [
                {key: value for key, value in line.items() if key not in CLOCKS}
                for _, line in read_jsonl(Path(each["run"]["output"]) / name)
            ]
            for each in (ours, truth)
        ]
        assert_near(*lines, where=name)


@pytest.fixture(scope="module")
def killed(recipe: dict[str, Any]) -> dict[tuple[str, Kill], dict[str, Any]]:
    """A run that was killed and not yet resumed, by layout and kill."""
    runs = {
        (layout, kill): variant(
            recipe, f"{layout}-{kill.place}-{kill.rank}", run__sharding=layout, run__checkpoint_every=4 - kill.rank
        )
        for layout in LAYOUTS
        for kill in KILLS
    }
    ended = train_each([(each, kill) for (_, kill), each in runs.items()], 2)
    for (_, kill), statuses in zip(runs, ended, strict=True):
        assert statuses[kill.rank] == -signal.SIGKILL and statuses[1 - kill.rank] == 1, (kill, statuses)
    for each in runs.values():
        copytree(each["run"]["output"], Path(each["run"]["output"]).with_suffix(".killed"))
    reached = [done_of(each) for each in runs.values()]
    assert all(0 < done < UPDATES for done in reached) and any(done % MINIBATCHES for done in reached)
    return runs


def test_two_processes_go_on(killed: dict[tuple[str, Kill], dict[str, Any]], whole: dict[str, Any]) -> None:
    """As they were."""
    runs = [as_killed(each) for each in killed.values()]
    assert train_each([(each, None) for each in runs], 2) == [[0, 0]] * len(runs)
    for each in runs:
        assert_same_run(each, whole)


def test_one_process_goes_on(killed: dict[tuple[str, Kill], dict[str, Any]], whole: dict[str, Any]) -> None:
    """Of a run of two, in the middle of an iteration and at its beginning."""
    for (_, kill), each in killed.items():
        if kill.rank == 1 and kill.place != "scoring":  # which stands where one killed in its roll-outs stands
            alone = as_killed(each, run__sharding="none")
            assert run(alone) == 0
            assert_same_run(alone, whole)


def test_two_processes_go_on_for_one(recipe: dict[str, Any], whole: dict[str, Any]) -> None:
    """As copies and with cut weights, from the middle of an iteration that one process sampled."""
    runs = {layout: variant(recipe, f"began-alone-{layout}") for layout in LAYOUTS}
    for each in runs.values():
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(run_iterations, "run_update", killing(run_iterations.run_update, MINIBATCH_5 + 1))
            assert in_child(lambda ours=each: run(ours)) == signal.SIGKILL
        assert done_of(each) == 12
    wider = [variant(each, f"began-alone-{layout}", run__sharding=layout) for layout, each in runs.items()]
    assert train_each([(each, None) for each in wider], 2) == [[0, 0]] * len(LAYOUTS)
    for each in wider:
        assert_same_run(each, whole)


def as_killed(recipe: dict[str, Any], **changes: object) -> dict[str, Any]:
    """The recipe with changes, its folder as the kill left it."""
    folder = Path(recipe["run"]["output"])
    rmtree(folder)
    copytree(folder.with_suffix(".killed"), folder)
    return variant(recipe, folder.name, **changes)
