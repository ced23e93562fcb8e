"""Runs under one launcher, one after the other, some of which lose a process to SIGKILL on the way.

Each run is a process forked from one that has imported everything. What loses a process does not end by itself in
earnest either: its launcher ends the rest, here the rest hears of it from the connection that broke.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.finetune.runs import ROOT, free_ports, write


@dataclass(frozen=True)
class Kill:
    """When a process dies.

    Attributes:
        rank: of the process.
        place: a name in `PLACES`, where it is killed.
        call: of the function there, counted from 1.
    """

    rank: int
    place: str
    call: int


def killing(function: Callable[..., Any], call: int) -> Callable[..., Any]:
    """The function, but its process is killed as it begins a call of it, counted from 1."""
    calls = iter(range(1, 10**6))

    def killed(*args: Any, **options: Any) -> Any:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)

    return killed


def train_each(runs: list[tuple[dict[str, Any], Kill | None]], processes: int) -> list[list[int]]:
    """Train recipes; return of each run how each of its processes ended: an exit status, or minus a signal."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    orders = [json.dumps([str(write(recipe)), kill and asdict(kill)]) for recipe, kill in runs]
    ports = ",".join(map(str, free_ports(len(runs))))
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MEETING_PORTS": ports}
    result = subprocess.run(
        [sys.executable, *start, __file__, *orders], cwd=ROOT, env=variables, capture_output=True, text=True
    )
    lines = [json.loads(line) for line in result.stdout.splitlines() if line.startswith('{"run"')]
    ended = [[-1000] * processes for _ in runs]
    for line in lines:
        ended[line["run"]][line["rank"]] = line["ended"]
    assert len(lines) == len(runs) * processes, result.stderr[-3000:]
    return ended


def _train(path: str, kill: Kill | None) -> int:
    from finetune.ppo import run_iterations
    from finetune.ppo.rewards import Rewards
    from finetune.ppo.sampler import NativeSampler
    from finetune.train import main

    places: dict[str, tuple[Any, str]] = {
        "roll-outs": (NativeSampler, "write"),
        "scoring": (Rewards, "scores"),
        "update": (run_iterations, "run_update"),
    }
    if kill is not None and kill.rank == int(os.environ["RANK"]):
        where, name = places[kill.place]
        setattr(where, name, killing(getattr(where, name), kill.call))
    return main([path, "--quiet"])


def _main() -> None:
    import peft
    import transformers

    import finetune.train
    from finetune.engine import stop

    assert peft and transformers and finetune.train
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"
    for number, (port, order) in enumerate(zip(os.environ["MEETING_PORTS"].split(","), sys.argv[1:], strict=True)):
        path, kill = json.loads(order)
        child = os.fork()
        if child == 0:
            os.environ["MASTER_PORT"] = port
            stop.LAUNCHER = os.getppid()
            status = 1
            try:
                status = _train(path, kill and Kill(**kill))
            except RuntimeError as error:  # the other process is gone
                os.write(2, f"{Path(path).stem}: {error}\n".encode())
            finally:
                os._exit(status)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(1, f"{json.dumps({'run': number, 'rank': int(os.environ['RANK']), 'ended': ended})}\n".encode())


if __name__ == "__main__":
    _main()
