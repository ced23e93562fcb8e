"""Of ten solutions the first that passes its tests becomes the record, and a run that was killed pays nothing twice."""

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camelid.app.command_line import CommandParser
from camelid.app.open_model import add_model_arguments
from camelid.files.read import read_json, read_jsonl
from camelid.models import program_runner
from camelid.models.llm import Failure, Reply, Request
from camelid.models.model_run import ModelRun
from camelid.sandbox import Execution, TimedOut, run
from selfinstruct import command
from selfinstruct.methods.code import parse_questions
from tests.sandboxes import need_sandbox
from tests.selfinstruct.teacher import words

RIGHT, WRONG = "def {name}(x):\n    return x + {number}", "def {name}(x):\n    return x - {number}"
ENDLESS = "def {name}(x):\n    while True:\n        pass"
TEST = "assert {name}(1) == {number} + 1\nassert {name}(0) == {number}"
TESTS = {
    "vacuous": "assert callable({name})\n{name}(1)",
    "none": "I would rather not.",
    "its own": "def {name}(x):\n    return x + {number}\n\n" + TEST,
    "broken": "assert {name}(1 ==",
}


class Coder:
    """Asks for functions that add a number; `fate` says of a question's number which solution is right, or its fault.

    Args:
        fate: from the number to 1 to 10, to 0 for none, to "endless", or to a name of `TESTS`.
        questions: in a reply.
    """

    name = "coder"

    def __init__(self, fate: Callable[[int], int | str] | None = None, questions: int = 10) -> None:
        self.fate, self.questions, self.asked = fate or self.chance, questions, Counter[str]()

    @staticmethod
    def chance(number: int) -> int | str:
        rng = random.Random(number)
        return rng.choice([1, 1, 2, 3, 10, 0, *TESTS])

    async def complete(self, request: Request) -> Reply | Failure:
        self.asked[request.key(self.name)] += 1
        return Reply(self.reply(request), "coder")

    def reply(self, request: Request) -> str:
        prompt = request.messages[0].content
        if prompt.startswith("Write 10 programming questions"):
            first = request.sample * self.questions
            lines = [self.question(first + place) for place in range(self.questions)]
            return "Here they are.\n\n" + "\n".join(f"{n}. {line}" for n, line in enumerate([*lines, lines[0]], 1))
        found = re.search(r"`(\w+)\(x\)` that adds (\d+)", prompt)
        assert found
        values = {"name": found[1], "number": int(found[2])}
        fate = self.fate(values["number"])
        if prompt.startswith("Write tests"):
            code = TESTS.get(str(fate), TEST).format(**values)
            return code if fate == "none" else f"```python\n{code}\n```"
        attempt = request.sample % 10 + 1
        code = ENDLESS if fate == "endless" else RIGHT if attempt == fate else WRONG
        return f"Attempt {attempt}:\n```python\n{code.format(**values)}\n```"

    @staticmethod
    def question(number: int) -> str:
        name = "f_" + words(1, random.Random(number))
        return f"Write a function `{name}(x)` that adds {number} to {words(3, random.Random(-number))}."


def generate(folder: Path, teacher: Any, count: int, *more: object) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    """Run the command; returns its exit status, the records and the ledger."""

    def open_model(args: argparse.Namespace, journal: Any) -> ModelRun:
        return ModelRun(teacher, journal, 4, None, None, args.max_requests)

    parser = CommandParser()
    command.register(parser.add_subparsers(), open_model, add_model_arguments)
    line = ["selfinstruct", "generate", "--method", "code", "--output", folder / "r.jsonl", "--quiet", "--model", "m"]
    args = parser.parse_args([*map(str, line), "--count", str(count), *map(str, more)])
    status = args.run(args)
    ledger = read_json(folder / "r.ledger.json")
    return status, [record for _, record in read_jsonl(folder / "r.jsonl")], ledger


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never ends is out of time at once."""

    def soon(program: str, *more: Any) -> Execution:
        return TimedOut() if "while True" in program else run(program, *more)

    monkeypatch.setattr(program_runner, "run", soon)


def test_the_first_that_passes_is_kept(tmp_path: Path) -> None:
    need_sandbox()
    teacher = Coder(lambda number: number % 10 + 1, questions=3)  # the first question's first is right, and so on
    status, records, _ = generate(tmp_path, teacher, 10)
    assert status == 0
    for number, record in enumerate(records):
        name = "f_" + words(1, random.Random(number))
        assert (record["instruction"], record["test"], record["output"], record["entry_point"]) == (
            Coder.question(number),
            TEST.format(name=name, number=number),
            f"```python\n{RIGHT.format(name=name, number=number)}\n```",
            name,
        )
    assert len(teacher.asked) == 4 + 10 + sum(range(1, 11))  # no test or solution more than it takes


def test_what_is_dropped_has_its_reason(tmp_path: Path, impatient: None) -> None:
    need_sandbox()
    fates: list[int | str] = [1, "vacuous", "none", "its own", "broken", 0, "endless", 2, 10, 1]
    status, records, ledger = generate(tmp_path, Coder(lambda number: fates[number] if number < 10 else 1), 4)
    assert status == 0 and len(records) == 4
    questions, tasks = ledger["ledgers"][1:]
    assert questions["unit"] == "questions" and questions["dropped"] == {"the same question as one before": 2}
    assert tasks["dropped"] == {
        "no test": 2,
        "no function that the test calls": 1,
        "the test passes on a stub": 1,
        "no solution passes": 1,
        "every solution is out of time": 1,
        "not needed: the run had ended": 10,
    }


def test_killed_anywhere_it_goes_on(tmp_path: Path) -> None:
    need_sandbox()
    (tmp_path / "straight").mkdir()
    teacher = Coder(questions=4)
    _, straight, _ = generate(tmp_path / "straight", teacher, 5)
    written, total = (tmp_path / "straight" / "r.jsonl").read_bytes(), teacher.asked
    teacher = Coder(questions=4)
    for most in (1, 5, 12, 13, 25, 10**6):
        generate(tmp_path, teacher, 5, "--max-requests", most)
    assert (tmp_path / "r.jsonl").read_bytes() == written and len(straight) == 5
    assert teacher.asked == total and set(total.values()) == {1}


def test_a_journal_answers_for_programs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_sandbox()
    generate(tmp_path, Coder(questions=3), 2)
    written = (tmp_path / "r.jsonl").read_bytes()
    (tmp_path / "r.jsonl").unlink()
    monkeypatch.setattr(program_runner, "run", lambda *_: pytest.fail("it was run again"))
    generate(tmp_path, Coder(questions=3), 2)
    assert (tmp_path / "r.jsonl").read_bytes() == written


def test_an_evaluations_question_is_not_paid_for(tmp_path: Path) -> None:
    need_sandbox()
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"question_id": "a", "turns": [Coder.question(0)]}) + "\n")
    teacher = Coder(lambda _: 1, questions=1)
    _, records, ledger = generate(tmp_path, teacher, 2, "--decontaminate", questions)
    assert [record["instruction"] for record in records] == [Coder.question(1), Coder.question(2)]
    [(reason, count)] = ledger["ledgers"][-1]["dropped"].items()
    assert reason.endswith("questions.jsonl: shares 12 words in a row or a whole question") and count == 1
    assert len(teacher.asked) == 1 + 2 + 2 * 2  # questions, in two rounds, and tests and solutions of two


@pytest.mark.parametrize(
    ("reply", "questions"),
    [
        ("Sure:\n\n1. Write `f`.\n2) Write `g`,\n   which is longer.", ["Write `f`.", "Write `g`, which is longer."]),
        ("I cannot.", []),
        ("There are 2. Both are hard.", []),
    ],
)
def test_questions_of_a_reply(reply: str, questions: list[str]) -> None:
    assert parse_questions(reply, False) == questions
    assert parse_questions(reply, True) == questions[:-1]


def test_an_existing_set_is_filtered_by_running_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], impatient: None
) -> None:
    need_sandbox()
    code, test = RIGHT.format(name="f", number=1), TEST.format(name="f", number=1)
    fence = "```python\n{}\n```"
    records = [
        {"instruction": "Write `f(x)` that adds 1.", "output": fence.format(code), "test": test},
        {"instruction": "Write `f(x)` that adds one.", "output": code, "test_list": test.split("\n")},
        {"instruction": "Write `f(x)` that adds 1!", "output": code, "test": test},
        {"instruction": "Write `f(x)` that adds more.", "output": WRONG.format(name="f", number=1), "test": test},
        {"instruction": "Write `f(x)` that never ends.", "output": ENDLESS.format(name="f"), "test": test},
        {"instruction": "Write `f(x)` that does nothing.", "output": "def f(x): pass", "test": "f(1)"},
        {"instruction": "Write whatever you would like.", "output": "x = 1", "test": "assert x == 1"},
        {"instruction": "Say hello to all of us.", "output": "Hello."},
    ]
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    parser = CommandParser()
    command.register(parser.add_subparsers(), lambda *_: pytest.fail("no model is asked"), add_model_arguments)
    args = parser.parse_args(["selfinstruct", "filter", str(path), "--execute", "--output", str(tmp_path / "r.jsonl")])
    assert args.run(args) == 0
    assert [record for _, record in read_jsonl(tmp_path / "r.jsonl")] == records[:2]
    assert read_json(tmp_path / "r.ledger.json")["ledgers"][0]["dropped"] == {
        "the same question as one before": 1,
        "the code fails its test": 1,
        "the code is out of time": 1,
        "the test passes on a stub": 1,
        "no function that the test calls": 1,
        "no test": 1,
    }
    assert args.run(args) == 0 and "already made" in capsys.readouterr().out
