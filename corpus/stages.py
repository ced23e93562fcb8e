"""Work in stages, each in tasks: on this machine without anything else, on Slurm or Ray by datatrove (extra `scale`).

A task does every `world`-th part from its own number on; a part's files depend on the part alone. So one task gives
what seven give, and what is done when a run is killed is not done again.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from camelid.errors import UserError
from camelid.progress import Progress

Work = Callable[[int, int], None]  # a task's number, and how many there are


@dataclass(frozen=True)
class WorkStage:
    """A step that needs all of the one before.

    Attributes:
        name: of its logs.
        work: picklable, for it runs in other processes and on other machines.
        tasks: how many pieces it is cut into.
    """

    name: str
    work: Work
    tasks: int = 1


@dataclass(frozen=True)
class StageExecutor:
    """Where stages run.

    Attributes:
        name: `local`, `slurm` or `ray`.
        tasks: pieces that the parts are shared out to.
        workers: how many of them at the same time.
        options: `KEY=VALUE` of datatrove's executor.
        logs: folder for datatrove's.
    """

    name: str = "local"
    tasks: int = 1
    workers: int = 1
    options: tuple[str, ...] = ()
    logs: str = "logs"

    def __post_init__(self) -> None:
        if self.tasks < 1 or self.workers < 1:
            raise UserError("--tasks and --workers must be at least 1")

    def run(self, stages: Sequence[WorkStage], quiet: bool = False) -> bool:
        """Run the stages one after the other; whether they are done, or only submitted (to Slurm).

        Raises:
            UserError: what a task raised, or datatrove is not there where it is needed.
        """
        if self.name == "local":
            _run_here(stages, self.workers, quiet)
            return True
        try:
            from camelid.text.datatrove_runs import parse_options, run_stages
        except ImportError as error:
            raise UserError(f"--executor {self.name} needs datatrove ({error}); pip install 'camelid[scale]'") from None
        steps = [(stage.name, [partial(_as_step, work=stage.work)], stage.tasks) for stage in stages]
        run_stages(self.name, steps, self.logs, self.workers, parse_options(self.options, self.name))
        return self.name != "slurm"


def _as_step(data: Any, rank: int, world_size: int, work: Work) -> Iterator[Any]:
    """datatrove's form of a task."""
    work(rank, world_size)
    yield from ()


def _run_here(stages: Sequence[WorkStage], workers: int, quiet: bool) -> None:
    total = sum(stage.tasks for stage in stages)
    done = 0
    with Progress("corpus", total, quiet) as progress:
        for stage in stages:
            for _ in _finished(stage, workers):
                done += 1
                progress.update(done, stage.name)


def _finished(stage: WorkStage, workers: int) -> Iterator[None]:
    """One for each task that is done."""
    if workers == 1 or stage.tasks == 1:
        for rank in range(stage.tasks):
            stage.work(rank, stage.tasks)
            yield
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, stage.tasks), context) as pool:
        yield from pool.map(partial(_work, stage), range(stage.tasks))


def _work(stage: WorkStage, rank: int) -> None:
    stage.work(rank, stage.tasks)
