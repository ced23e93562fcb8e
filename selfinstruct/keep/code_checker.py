"""Code that passed its tests, and tests that are worth passing: decided by running them."""

import ast
import asyncio
import builtins
from collections import Counter

from camelid.errors import UserError
from camelid.models.llm import Failure
from camelid.models.model_run import ModelRun
from camelid.models.program_runner import PASSED, TIMED_OUT, program_request
from camelid.sandbox.code_blocks import find_code
from camelid.sandbox.languages import LANGUAGES

NO_TEST, NO_FUNCTION = "no test", "no function that the test calls"
STUB_PASSES = "the test passes on a stub"
FAILS, OUT_OF_TIME = "the code fails its test", "the code is out of time"


def code_of(answer: str, name: str = "") -> str:
    """The code of an answer: its block, of several the one that defines the name; or all of it."""
    code = find_code(answer, LANGUAGES["python"]().fences, f"def {name}" if name else "")
    return answer if code is None else code


def tested_function(test: str) -> str | None:
    """The function that tests are of: the one they call most often without defining it; None if there is none."""
    if not _parses(test):
        return None
    tree = ast.parse(test)
    known = set(vars(builtins))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            known.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            known |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            known.add(node.id)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    counts = Counter(called.id for called in calls if isinstance(called, ast.Name) and called.id not in known)
    return counts.most_common(1)[0][0] if counts else None


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


class CodeChecker:
    """Runs code with tests.

    Args:
        programs: from `camelid.models.program_runner.open_runner`.
    """

    def __init__(self, programs: ModelRun) -> None:
        self._programs = programs
        self._gate = asyncio.Semaphore(programs.concurrency)

    async def verdict(self, code: str, test: str) -> str | None:
        """Why code does not pass, `FAILS` or `OUT_OF_TIME`; None if it does.

        Raises:
            UserError: nothing can be run here.
        """
        async with self._gate:
            result = await self._programs.complete(program_request(f"{code}\n{test}"))
        if isinstance(result, Failure):
            raise UserError(result.detail)
        return None if result.text == PASSED else OUT_OF_TIME if result.text == TIMED_OUT else FAILS

    async def fault_of_test(self, test: str) -> str | None:
        """Why a test is not worth passing: it is none, calls nothing, or a function that returns nothing passes it."""
        if not test.strip() or not _parses(test):
            return NO_TEST
        name = tested_function(test)
        if name is None:
            return NO_FUNCTION
        stub = f"def {name}(*arguments, **named):\n    return None"
        return STUB_PASSES if await self.verdict(stub, test) is None else None

    async def reason_to_drop(self, answer: str, test: str) -> str | None:
        """Why an answer with its test is no good, or None."""
        fault = await self.fault_of_test(test)
        return fault or await self.verdict(code_of(answer, tested_function(test) or ""), test)
