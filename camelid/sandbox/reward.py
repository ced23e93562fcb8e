"""A reward that can be verified: 1 for an answer whose code passes its tests, 0 for any other."""

from camelid.errors import UserError
from camelid.sandbox.code_blocks import find_code
from camelid.sandbox.execute import run
from camelid.sandbox.languages import LANGUAGES
from camelid.sandbox.limits import Limits
from camelid.sandbox.table import DEFAULT
from camelid.sandbox.verdict import NoSandbox, Passed


def passing_reward(
    answer: str, test: str, limits: Limits | None = None, sandbox: str = DEFAULT, language: str = "python"
) -> float:
    """Run an answer's code with its tests; it blocks, and may be called from many threads at once.

    Args:
        answer: a chat answer with a fenced block, or code alone.
        test: what follows the code: it raises where that is wrong.
        limits, sandbox, language: see `camelid.sandbox.execute.run`.

    Raises:
        UserError: the sandbox does not work on this machine. No answer is to be paid or blamed for that.
    """
    code = find_code(answer, LANGUAGES[language]().fences)
    found = run(f"{answer if code is None else code}\n{test}", limits, sandbox, language)
    if isinstance(found, NoSandbox):
        raise UserError(found.reason)
    return float(isinstance(found, Passed))
