"""`execute`: each answer a program that is run with its tests, as HumanEval (Chen et al. 2021)."""

from collections.abc import Mapping

from camelid.models.program_runner import FAILED, PASSED, TIMED_OUT
from eval.judging.modes.mode import Asking, Mode, percent
from eval.results import Scale


def parse_execution(text: str, logprobs: Mapping[str, float]) -> tuple[float] | None:
    """1 for a program that passed, 0 for one that did not; None if it was not run."""
    if text == PASSED:
        return (1.0,)
    return (0.0,) if text.startswith(f"{FAILED}: ") or text == TIMED_OUT else None


EXECUTE = Mode(
    name="execute",
    help="run programs with the tests of --tasks, pass@k",
    method="each program run with its tests in a sandbox",
    asking=Asking("judge_execute.txt", ("Program",), temperature=0.0, max_tokens=1),
    parse=parse_execution,
    verdict="grades",
    verdict_range=(0.0, 1.0),
    value=percent,
    scale=Scale("pass@1", "%", 0.0, 100.0, None),
    bounds=(0.0, 100.0),
    canary_limit=10.0,  # a body that returns nothing solves no task; the rest is allowance for weak tests
    claim="    return None",
    orders="one",
    executed=True,
)
