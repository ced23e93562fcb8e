"""What every method must do, by the command: the records asked for, all the rest explained, nothing paid for twice."""

import argparse
import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from camelid.app.command_line import CommandParser
from camelid.app.open_model import add_model_arguments
from camelid.errors import UserError
from camelid.files.read import read_json, read_jsonl
from camelid.models import program_runner
from camelid.models.llm import Failure, Reply, Request
from camelid.models.model_run import ModelRun
from camelid.models.offline.model import Offline
from camelid.sandbox import Execution, Failed, Passed
from selfinstruct import command
from selfinstruct.methods.table import METHODS
from tests.selfinstruct.methods.test_backtranslate import BackTranslator
from tests.selfinstruct.methods.test_code import Coder
from tests.selfinstruct.methods.test_evol import Evolver
from tests.selfinstruct.methods.test_magpie import Chatter
from tests.selfinstruct.methods.test_self_instruct import Teacher
from tests.selfinstruct.teacher import answer, words


class Lister:
    """Lists tasks, as structured output or as text."""

    name = "lister"

    async def complete(self, request: Request) -> Reply | Failure:
        return Reply(answer({"seed": request.seed, **request.extra}), "lister")


@dataclass(frozen=True)
class Row:
    """A method under test.

    Attributes:
        teacher: makes a model that answers its prompts, some of them badly.
        count: records to ask for; with them it must have dropped some.
    """

    teacher: Callable[[], Any]
    count: int = 100


ROWS = {
    "alpaca": Row(Lister),
    "self-instruct": Row(Teacher),
    "evol": Row(Evolver),
    "magpie": Row(Chatter, 200),
    "backtranslate": Row(BackTranslator, 200),
    "code": Row(Coder, 30),
}


@pytest.fixture(autouse=True)
def run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs run in this process: the scripted teacher's do no harm, and there are hundreds."""

    def run(program: str, *_: object) -> Execution:
        try:
            exec(program, {"__name__": "program"})
        except Exception as error:
            return Failed(str(error))
        return Passed()

    monkeypatch.setattr(program_runner, "run", run)
    monkeypatch.setattr(command, "require_sandbox", lambda sandbox: None)


class Asked:
    """A model that counts what it is asked; a grader if it stands for the quality model."""

    def __init__(self, llm: Any) -> None:
        self.llm, self.name, self.asked = llm, llm.name, Counter[str]()

    async def complete(self, request: Request) -> Reply | Failure:
        self.asked[request.key(self.name)] += 1
        result: Reply | Failure = await self.llm.complete(request)
        return result


def score(text: str) -> int:
    return random.Random(text).choice([3, 5, 5])


class Grader:
    """Scores by what the prompt ends in, so that a test can tell what it said of a record."""

    name = "grader"

    def __init__(self) -> None:
        self.now = self.most = 0  # requests in flight

    async def complete(self, request: Request) -> Reply | Failure:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001)
        self.now -= 1
        return Reply(f"So so.\nScore: [[{score(request.messages[0].content)}]]", "grader")


def generate(folder: Path, name: str, *more: object) -> tuple[Path, Asked, Asked]:
    """Run the command; return its output, the teacher and the grader."""
    asked, grader = Asked(ROWS[name].teacher()), Asked(Grader())

    def open_model(args: argparse.Namespace, journal: Any) -> ModelRun:
        llm = {"grader": grader, "offline": Offline()}.get(args.model, asked)
        return ModelRun(llm, journal, 8, None, None, args.max_requests)

    parser = CommandParser()
    command.register(parser.add_subparsers(), open_model, add_model_arguments)
    line = ["selfinstruct", "generate", "--method", name, "--output", folder / "r.jsonl", "--quiet", "--model", "m"]
    line += ["--count", ROWS[name].count]
    if METHODS[name].from_texts:
        texts = folder / "texts.jsonl"
        texts.write_text("".join(json.dumps({"text": words(30, random.Random(n))}) + "\n" for n in range(260)))
        line += ["--texts", texts]
    if METHODS[name].evolves:
        instructions = folder / "before.jsonl"
        tasks = [f"Explain {words(6, random.Random(number))}." for number in range(100)]
        instructions.write_text("".join(json.dumps({"instruction": task}) + "\n" for task in tasks))
        line += ["--instructions", instructions]
    args = parser.parse_args([*map(str, line), *map(str, more)])
    args.run(args)
    return folder / "r.jsonl", asked, grader


@pytest.mark.parametrize("name", METHODS)
def test_as_many_records_as_asked_for_and_all_explained(name: str, tmp_path: Path) -> None:
    output, asked, _ = generate(tmp_path, name)
    records, facts = [record for _, record in read_jsonl(output)], read_json(output.with_suffix(".ledger.json"))
    assert len(records) == ROWS[name].count == facts["ledgers"][-1]["kept"] and facts["complete"]
    assert facts["asked"]["method"] == name and sum(facts["ledgers"][-1]["dropped"].values()) > 0
    for ledger in facts["ledgers"]:
        assert ledger["read"] == ledger["kept"] + sum(ledger["dropped"].values())
    assert len({(record["instruction"], record["input"]) for record in records}) == len(records)
    written = output.read_bytes()
    assert max(asked.asked.values()) == 1
    output.unlink()
    _, again, _ = generate(tmp_path, name)
    assert output.read_bytes() == written and not again.asked  # the journal answered
    assert facts["ledgers"] == read_json(output.with_suffix(".ledger.json"))["ledgers"]


@pytest.mark.parametrize("name", METHODS)
def test_what_a_budget_ended_goes_on(name: str, tmp_path: Path) -> None:
    (tmp_path / "straight").mkdir()
    straight, _, _ = generate(tmp_path / "straight", name)
    generate(tmp_path, name, "--max-requests", 3)
    output, _, _ = generate(tmp_path, name)
    assert output.read_bytes() == straight.read_bytes()


@pytest.mark.parametrize("name", METHODS)
def test_a_quality_model_is_asked_once_and_believed(name: str, tmp_path: Path) -> None:
    output, _, grader = generate(tmp_path, name, "--quality-model", "grader", "--count", 30)
    prompt = (Path(command.__file__).parent / "data" / "quality.txt").read_text(encoding="utf-8").strip()
    for _, record in read_jsonl(output):
        given = record["input"] or "(none)"
        assert score(prompt.format(instruction=record["instruction"], input=given, output=record["output"])) == 5
    dropped = read_json(output.with_suffix(".ledger.json"))["ledgers"][-1]["dropped"]
    assert dropped["quality below 4.5"] > 0 and max(grader.asked.values()) == 1
    assert grader.llm.most >= 8  # it is not asked about one task after the other


@pytest.mark.parametrize("name", METHODS)
def test_options_without_use_are_refused(name: str, tmp_path: Path) -> None:
    method = METHODS[name]
    if not method.formats:
        with pytest.raises(UserError, match=f"--method {name} has no --format"):
            generate(tmp_path, name, "--format", "text")
    if not method.offline:
        with pytest.raises(UserError, match=f"--method {name} .*needs a --model other than offline"):
            generate(tmp_path, name, "--model", "offline")
    if not method.evolves:
        with pytest.raises(UserError, match="--method evol and --instructions FILE go together"):
            generate(tmp_path, name, "--instructions", "x.jsonl")
    assert not (tmp_path / "r.jsonl").exists()


@pytest.mark.parametrize("name", [method.name for method in METHODS.values() if method.offline])
def test_the_embedded_model_can_serve_it(name: str, tmp_path: Path) -> None:
    output, _, _ = generate(tmp_path, name, "--model", "offline", "--count", 20)
    assert len(list(read_jsonl(output))) == 20


@pytest.mark.parametrize(
    ("name", "format", "compat"),
    [(method.name, choice.name, choice.compat) for method in METHODS.values() for choice in method.formats],
)
def test_every_format_gives_records(name: str, format: str, compat: bool, tmp_path: Path) -> None:
    output, _, _ = generate(tmp_path, name, "--format", format)
    facts = read_json(output.with_suffix(".ledger.json"))
    assert facts["complete"] and facts["asked"]["format"] == format
    assert ("output has a URL that was not given" in facts["ledgers"][-1]["dropped"]) != compat  # see `Selection`
    assert compat == (format == "compat")
