"""Two machines train as one process: network namespaces joined by a cable, else two agents on the loopback."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.finetune.runs import ROOT, metrics

pytestmark = pytest.mark.slow  # 20 to 60 s a test: two interpreters import torch and meet

TOLERANCE = 1e-5
SMOKE = ROOT / "recipes" / "smoke.yaml"
MULTI_NODE = ROOT / "recipes" / "launch" / "multi-node.yaml"


@dataclass(frozen=True)
class Machine:
    """Where a command runs: what starts it there, its address, and the network card of that address."""

    prefix: tuple[str, ...]
    address: str
    card: str


@pytest.fixture(scope="module")
def machines() -> Iterator[list[Machine]]:
    names = [f"camelid-{os.getpid()}-{number}" for number in (1, 2)]
    cards = [f"cam{os.getpid()}v{number}" for number in (1, 2)]
    commands = [
        *(f"ip netns add {name}" for name in names),
        f"ip link add {cards[0]} netns {names[0]} type veth peer name {cards[1]} netns {names[1]}",
    ]
    for number, (name, card) in enumerate(zip(names, cards, strict=True), start=1):
        commands += [
            f"ip -n {name} addr add 10.77.0.{number}/24 dev {card}",
            f"ip -n {name} link set lo up",
            f"ip -n {name} link set {card} up",
        ]
    allowed = shutil.which("ip") is not None and all(
        subprocess.run(command.split(), capture_output=True).returncode == 0 for command in commands
    )
    try:
        if allowed:
            yield [
                Machine(("ip", "netns", "exec", name), f"10.77.0.{number}", card)
                for number, (name, card) in enumerate(zip(names, cards, strict=True), start=1)
            ]
        else:
            yield [Machine((), "127.0.0.1", "lo")] * 2
    finally:
        for name in names if shutil.which("ip") else []:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def settings(model: Path, data: Path, output: Path) -> list[str]:
    """The smoke recipe's command line, its model and data replaced by the toy ones."""
    source = f"data.train=[{{path: {data}}}]"
    return [str(SMOKE), f"model.path={model}", source, "optim.updates=10", f"run.output={output}"]


def torchrun(machines: list[Machine], number: int) -> list[str]:
    """The launcher on one machine; a name server would make the last three options superfluous."""
    start = f"-m torch.distributed.run --nnodes 2 --nproc_per_node 1 --rdzv_backend c10d --rdzv_id {os.getpid()}"
    here, first = machines[number].address, machines[0].address
    meeting = f"--rdzv_endpoint {first}:29411 --local_addr {here} --rdzv_conf is_host={int(number == 0)}"
    return [sys.executable, *start.split(), *meeting.split(), "-m", "finetune.train"]


def accelerate(machines: list[Machine], number: int) -> list[str]:
    """The shipped launch file, for one process a machine."""
    start = f"-m accelerate.commands.launch --config_file {MULTI_NODE} --num_processes 2 --machine_rank {number}"
    return [sys.executable, *start.split(), "--main_process_ip", machines[0].address, "-m", "finetune.train"]


def on(machine: Machine, command: list[str]) -> subprocess.Popen[str]:
    variables = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "GLOO_SOCKET_IFNAME": machine.card}
    variables["ACCELERATE_USE_CPU"] = "1"
    return subprocess.Popen(
        [*machine.prefix, *command], cwd=ROOT, env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and error output."""
    try:
        _, error = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.kill()
        _, error = process.communicate()
    return process.returncode, error


@pytest.fixture(scope="module")
def truth(toy_model: Path, toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The metrics of one process."""
    output = tmp_path_factory.mktemp("one") / "run"
    alone = Machine((), "127.0.0.1", "lo")
    command = [sys.executable, "-m", "finetune.train", *settings(toy_model, toy_data, output)]
    status, error = finish(on(alone, command))
    assert status == 0, error
    return metrics({"run": {"output": str(output)}})


@pytest.mark.parametrize(
    ("launcher", "sharding"),
    [(torchrun, "none"), (torchrun, "fsdp2"), (accelerate, "fsdp2")],
    ids=["torchrun-ddp", "torchrun-fsdp2", "accelerate-fsdp2"],
)
def test_two_machines_train_as_one_process(
    machines: list[Machine],
    truth: list[dict[str, Any]],
    launcher: Any,
    sharding: str,
    toy_model: Path,
    toy_data: Path,
    tmp_path: Path,
) -> None:
    output = tmp_path / "run"
    rest = [*settings(toy_model, toy_data, output), f"run.sharding={sharding}", "run.processes=2"]
    started = [on(machine, [*launcher(machines, number), *rest]) for number, machine in enumerate(machines)]
    for status, error in map(finish, started):
        assert status == 0, error
    ours = metrics({"run": {"output": str(output)}})
    assert len(ours) == 10
    for mine, theirs in zip(ours, truth, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=TOLERANCE)
        assert mine["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=TOLERANCE)
        assert mine["trained_tokens"] == theirs["trained_tokens"]


def test_a_machine_that_was_started_alone_is_refused(toy_model: Path, toy_data: Path, tmp_path: Path) -> None:
    """The launch file says two machines, the command line one: no run of half the size starts."""
    alone = Machine((), "127.0.0.1", "lo")
    start = f"-m accelerate.commands.launch --config_file {MULTI_NODE} --num_machines 1 --num_processes 1"
    rest = [*settings(toy_model, toy_data, tmp_path / "run"), "run.processes=2"]
    status, error = finish(on(alone, [sys.executable, *start.split(), "-m", "finetune.train", *rest]))
    assert status != 0
    assert "asked for 2 process(es), but 1 work(s) together" in error
    assert not (tmp_path / "run").exists()
