"""Programs run in the sandbox behind the protocol of a model, so that a journal keeps what they came to.

A run that is killed and goes on neither runs a program again nor finds another verdict on one that changes its mind.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from camelid.message import Message
from camelid.models.llm import Failure, Reply, Request
from camelid.models.model_run import ModelRun
from camelid.models.spend import Price
from camelid.sandbox.execute import run
from camelid.sandbox.limits import Limits
from camelid.sandbox.table import DEFAULT
from camelid.sandbox.verdict import Failed, NoSandbox, Passed, TimedOut

JUDGE = "tests"  # its name
PASSED, FAILED, TIMED_OUT = "passed", "failed", "timed out"
NOTHING_BILLED = Price(0.0, 0.0, origin="programs cost nothing")

MoreTime = Callable[[Request], Awaitable[Limits]]
"""From a request whose program ran out of time to the limits that it deserves."""


class ProgramRunner:
    """Runs the program in a request's last message, in the language that its `extra` names.

    Args:
        sandbox: a name of `camelid.sandbox.table.SANDBOXES`.
        more_time: asked for a program that is out of time, which is run again if it may take longer.
    """

    name = JUDGE

    def __init__(self, sandbox: str, more_time: MoreTime | None = None) -> None:
        self._sandbox, self._more_time = sandbox, more_time

    async def complete(self, request: Request) -> Reply | Failure:
        """Run it; the text is `passed`, `failed: REASON` or `timed out`."""
        program, language = request.messages[-1].content, request.extra["language"]
        limits = Limits()
        found = await asyncio.to_thread(run, program, limits, self._sandbox, language)
        if isinstance(found, TimedOut) and self._more_time:
            more = await self._more_time(request)
            if more != limits:
                found = await asyncio.to_thread(run, program, more, self._sandbox, language)
        match found:
            case NoSandbox(reason):
                return Failure("unreachable", reason)
            case Failed(reason):
                return Reply(f"{FAILED}: {reason}", JUDGE)
            case Passed():
                return Reply(PASSED, JUDGE)
        return Reply(TIMED_OUT, JUDGE)


def program_request(program: str, language: str = "python", rules: str = "", task: str = "") -> Request:
    """What the runner is asked.

    Args:
        program: with its tests.
        language: a name of `camelid.sandbox.languages.LANGUAGES`.
        rules: what a reader of the verdict is told of how it comes about.
        task: whose program it is, for `more_time`.
    """
    told = [Message("system", rules)] if rules else []
    return Request(
        (*told, Message("user", program)),
        temperature=0.0,
        extra={"language": language, **({"task": task} if task else {})},
    )


def open_runner(journal: Path, sandbox: str, more_time: MoreTime | None = None) -> ModelRun:
    """A runner with its journal: as many programs at once as there are processors, and nothing is billed.

    Each kind of sandbox has a journal of its own: what passed without protection has not passed with it.
    """
    if sandbox != DEFAULT:
        journal = journal.with_name(journal.name.replace(".journal", f".{sandbox}.journal"))
    return ModelRun(ProgramRunner(sandbox, more_time), journal, os.cpu_count() or 1, NOTHING_BILLED)
