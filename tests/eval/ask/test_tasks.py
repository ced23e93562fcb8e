"""Tasks in each published shape: what is asked, what is run, and which files are refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from camelid.errors import UserError
from camelid.files.write import write_jsonl
from camelid.sandbox import Failed, Passed, run
from eval.ask.code_task import CodeTask
from eval.ask.tasks.read import read_tasks, task_questions
from tests.sandboxes import need_sandbox

HEAD = 'def half(x: int) -> int:\n    """Half of x, rounded down."""\n'
HUMAN_EVAL: dict[str, Any] = {
    "task_id": "HumanEval/7",
    "prompt": HEAD,
    "entry_point": "half",
    "canonical_solution": "    return x // 2\n",
    "test": "def check(candidate):\n    assert candidate(7) == 3\n    assert candidate(-3) == -2\n",
}
INFILLING = {**HUMAN_EVAL, "prompt": HEAD + "    return ", "suffix": " // 2\n", "canonical_solution": "x"}
PLUS = {
    **{name: value for name, value in HUMAN_EVAL.items() if name != "test"},
    "contract": "",
    "base_input": [[7]],
    "plus_input": [[-3], [0]],
    "atol": 0,
}
MBPP = {
    "task_id": 11,
    "text": "Write a function to halve a number, rounded down.",
    "code": "def half(x):\r\n  return x // 2",
    "test_list": ["assert half(7) == 3", "assert half(-3) == -2"],
    "test_setup_code": "",
    "challenge_test_list": [],
}
SANITIZED = {
    "source_file": "a.ipynb",
    "task_id": 11,
    "prompt": MBPP["text"],
    "code": MBPP["code"],
    "test_imports": ["import math"],
    "test_list": ["assert half(7) == math.floor(3.5)"],
}
OWN = {
    "id": "a",
    "instruction": "Write half(x).",
    "input": "",
    "output": "def half(x): return x // 2",
    "test": "assert half(7) == 3",
}
SHAPES = {
    "HumanEval": HUMAN_EVAL,
    "infilling": INFILLING,
    "HumanEval+": PLUS,
    "MBPP": MBPP,
    "sanitized": SANITIZED,
    "own": OWN,
}


def one(record: dict[str, Any], folder: Path) -> CodeTask:
    path = folder / "tasks.jsonl"
    write_jsonl(path, [record])
    [task] = read_tasks(path)
    return task


@pytest.mark.parametrize("shape", SHAPES)
def test_reference_passes_and_another_answer_fails(shape: str, tmp_path: Path) -> None:
    need_sandbox()
    task = one(SHAPES[shape], tmp_path)
    wrong = {"HumanEval": "    return x / 2\n", "HumanEval+": "    return abs(x) // 2\n", "infilling": "-x"}
    assert isinstance(run(task.program(task.reference)), Passed)
    assert isinstance(run(task.program(wrong.get(shape, "def half(x): return 0"))), Failed)
    assert task.id == str(SHAPES[shape].get("task_id", "a"))


ANSWERS = {
    "the body alone": "    return x // 2\n",
    "the whole function": "Sure.\n\n```python\ndef half(x):\n    return x // 2\n```\nIt rounds down.",
    "with an example of its use first": "```python\nhalf(4)\n```\n\n```python\ndef half(x):\n    return x // 2\n```",
    "the body in a block": "```python\n    return x // 2\n```",
    "the body in a block without its indentation": "```python\nreturn x // 2\n```",
    "the function after its head": "\ndef half(x):\n    return x // 2\n",
    "cut off behind the code": "```python\ndef half(x):\n    return x // 2",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_program_is_made_of_any_answer(name: str, tmp_path: Path) -> None:
    need_sandbox()
    task = one(HUMAN_EVAL, tmp_path)
    assert isinstance(run(task.program(task.code(ANSWERS[name]))), Passed)


def test_a_program_without_a_block_is_human_evals(tmp_path: Path) -> None:
    task, completion = one(HUMAN_EVAL, tmp_path), "    return 1\n"
    assert task.program(task.code(completion)) == HEAD + completion + "\n" + HUMAN_EVAL["test"] + "\ncheck(half)"


@pytest.mark.parametrize(
    ("answer", "after", "code"),
    [
        ("x", " // 2\n", "x"),
        ("```python\n    return x\n```", "    pass\n", "    return x\n"),
        ("```python\n    return x\n```", "\n    pass\n", "    return x"),
        ("  y ", " // 2\n", "  y "),
    ],
)
def test_missing_text_is_kept_to_the_blank(answer: str, after: str, code: str, tmp_path: Path) -> None:
    assert one({**INFILLING, "suffix": after}, tmp_path).code(answer) == code


# As evalplus 0.3.1 decides (its `unsafe_execute`) of what is returned for x = 7, -3 and 0.
@pytest.mark.parametrize(
    ("right", "atol", "returned", "passes"),
    [
        ("[x / 3]", 0, "[x / 3 + 1e-8]", True),
        ("[x / 3]", 0, "[x / 3 + 1e-4]", False),
        ("[x / 3]", 0, "(x / 3,)", False),
        ("[x / 3]", 0, "[x / 3, 0.0]", False),
        ("x / 3", 1e-2, "x / 3 + 1e-3", True),
        ("x / 3", 0, "x / 3 + 1e-3", False),
        ("x / 1", 0, "x", True),
        ("x / 1", 1e-2, "round(x) if x else None", False),
        ("[[x / 3]]", 0, "[[x / 3 + 1e-8]]", False),
        ("[[x / 3]]", 1e-6, "[[x / 3 + 1e-8]]", True),
        ("x", 0, "x + 1e-9", False),
        ("str(x)", 0, "x", False),
    ],
)
def test_numbers_of_human_eval_plus_may_be_a_little_off(
    right: str, atol: float, returned: str, passes: bool, tmp_path: Path
) -> None:
    need_sandbox()
    task = one({**PLUS, "canonical_solution": f"    return {right}\n", "atol": atol}, tmp_path)
    assert isinstance(run(task.program(f"    return {returned}\n")), Passed if passes else Failed)


def test_a_zero_of_human_eval_plus_need_not_be_the_reference_s(tmp_path: Path) -> None:
    need_sandbox()
    prompt = "def poly(xs, x):\n    return xs[0] + xs[1] * x * x\n\n\ndef find_zero(xs):\n"
    record = {**PLUS, "prompt": prompt, "entry_point": "find_zero", "canonical_solution": "    return 2.0\n"}
    task = one({**record, "base_input": [[[-4, 1]]], "plus_input": []}, tmp_path)
    assert isinstance(run(task.program("    return -2.0000001\n")), Passed)
    assert isinstance(run(task.program("    return 2.1\n")), Failed)


def test_what_is_asked(tmp_path: Path) -> None:
    assert HEAD.strip() in one(HUMAN_EVAL, tmp_path).ask
    assert "<MISSING> // 2" in one(INFILLING, tmp_path).ask
    asked = one(MBPP, tmp_path).ask
    assert asked.startswith(MBPP["text"]) and "assert half(-3) == -2" in asked
    [question] = task_questions([one(OWN, tmp_path)], 3)
    assert question.turns == ("Write half(x).",) * 3 and question.references == (OWN["output"],) * 3


def test_a_published_file_in_any_packing(tmp_path: Path) -> None:
    path = tmp_path / "sanitized-mbpp.json"
    path.write_text(json.dumps([SANITIZED, {**SANITIZED, "task_id": 12}]))
    assert [task.id for task in read_tasks(path)] == ["11", "12"]


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([], "no tasks"),
        ([{"task_id": "a", "prompt": "x"}], "expected the fields of one of these"),
        ([HUMAN_EVAL, HUMAN_EVAL], "is there twice"),
        ([{**HUMAN_EVAL, "prompt": 3}], ":1: field 'prompt' must be text, found 3"),
        ([{**PLUS, "plus_input": "x"}], "field 'plus_input' must be a list"),
        ([{**OWN, "language": "cobol"}], "field 'language' must be one of python, found 'cobol'"),
        ([{**MBPP, "test_list": [1]}], r"test_list\[0\]"),
    ],
)
def test_a_file_that_is_none(records: list[dict[str, Any]], words: str, tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    write_jsonl(path, records)
    with pytest.raises(UserError, match=words):
        read_tasks(path)
