"""The judge `tests`: it runs programs, and is asked like any model, so that its verdicts are kept in a journal."""

import asyncio
from collections.abc import Iterable

from camelid.message import Message
from camelid.models.llm import Failure, Reply, Request
from camelid.sandbox.execute import run
from camelid.sandbox.limits import Limits, limits_beside
from camelid.sandbox.verdict import Execution, Failed, NoSandbox, Passed, TimedOut
from eval.ask.code_task import CodeTask
from eval.judging import prompts
from eval.judging.modes.execute import EXECUTE, FAILED, PASSED, TIMED_OUT

JUDGE = "tests"


class ProgramRunner:
    """Runs the program that a request holds, in the language and for the task that its `extra` names.

    Args:
        tasks: a program that is out of time is run again if its task's reference solution says that it takes more.
        sandbox: a name of `camelid.sandbox.table.SANDBOXES`.
    """

    name = JUDGE

    def __init__(self, tasks: Iterable[CodeTask], sandbox: str) -> None:
        self._tasks, self._sandbox = {task.id: task for task in tasks}, sandbox
        self._limits: dict[str, asyncio.Task[Limits]] = {}

    async def complete(self, request: Request) -> Reply | Failure:
        """Run it; the text is `passed`, `failed: REASON` or `timed out`."""
        task, program = self._tasks[request.extra["task"]], request.messages[-1].content
        found = await self._run(program, Limits(), task.language)
        if isinstance(found, TimedOut):
            limits = await self._limits_of(task)
            found = found if limits == Limits() else await self._run(program, limits, task.language)
        match found:
            case NoSandbox(reason):
                return Failure("unreachable", reason)
            case Failed(reason):
                return Reply(f"{FAILED}: {reason}", JUDGE)
            case Passed():
                return Reply(PASSED, JUDGE)
        return Reply(TIMED_OUT, JUDGE)

    async def _limits_of(self, task: CodeTask) -> Limits:
        if task.id not in self._limits:  # several samples of one task may wait for it
            self._limits[task.id] = asyncio.create_task(self._measure(task))
        return await self._limits[task.id]

    async def _measure(self, task: CodeTask) -> Limits:
        """What a task's solutions may take, from its reference solution, if it has one that ends within a minute."""
        if not task.reference:
            return Limits()
        found = await self._run(task.program(task.reference), Limits(cpu_seconds=60), task.language)
        return limits_beside(found.seconds) if isinstance(found, Passed) else Limits()

    async def _run(self, program: str, limits: Limits, language: str) -> Execution:
        return await asyncio.to_thread(run, program, limits, self._sandbox, language)


def program_request(task: CodeTask, answer: str) -> Request:
    """What the judge is asked of an answer."""
    messages = Message("system", prompts.judge_rules(EXECUTE.asking)), Message("user", task.program(task.code(answer)))
    return Request(messages, temperature=0.0, extra={"task": task.id, "language": task.language})
