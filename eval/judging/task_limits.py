"""How long a task's programs may run, by what its reference solution takes; and what the judge `tests` is asked."""

import asyncio
from collections.abc import Iterable

from camelid.models.llm import Request
from camelid.models.program_runner import program_request
from camelid.sandbox.execute import run
from camelid.sandbox.limits import Limits, limits_beside
from camelid.sandbox.verdict import Passed
from eval.ask.code_task import CodeTask
from eval.judging import prompts
from eval.judging.modes.execute import EXECUTE

LONGEST = 60  # CPU seconds of a reference solution


class TaskLimits:
    """Measures a reference solution when a program of its task is out of time for the first time.

    Args:
        tasks: those without a reference solution give their programs no more.
        sandbox: a name of `camelid.sandbox.table.SANDBOXES`.
    """

    def __init__(self, tasks: Iterable[CodeTask], sandbox: str) -> None:
        self._tasks, self._sandbox = {task.id: task for task in tasks}, sandbox
        self._limits: dict[str, asyncio.Task[Limits]] = {}

    async def more_time(self, request: Request) -> Limits:
        """The limits of the task that a request is of."""
        name = request.extra["task"]
        if name not in self._limits:  # several samples of one task may wait for it
            self._limits[name] = asyncio.create_task(self._measure(self._tasks[name]))
        return await self._limits[name]

    async def _measure(self, task: CodeTask) -> Limits:
        if not task.reference:
            return Limits()
        program = task.program(task.reference)
        found = await asyncio.to_thread(run, program, Limits(cpu_seconds=LONGEST), self._sandbox, task.language)
        return limits_beside(found.seconds) if isinstance(found, Passed) else Limits()


def answer_request(task: CodeTask, answer: str) -> Request:
    """An answer as a program, to be run."""
    return program_request(task.program(task.code(answer)), task.language, prompts.judge_rules(EXECUTE.asking), task.id)
