"""The documentation says what is so: its commands run, its examples are read, its reference is the code's."""

import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any, get_type_hints

import pytest

from camelid.app.cli import build_parser
from camelid.config import from_tree
from camelid.files.ledger import Ledger
from camelid.models.journal import Journal
from conversations.candidates import read_candidates
from conversations.formats.readers import read_conversations
from conversations.preference import read_labels, read_pairs
from corpus.record import TextRecord
from docs.generate import generated
from eval.ask.answer import read_answers
from eval.ask.questions import Question, read_questions
from eval.ask.tasks.read import read_tasks as read_tasks_with_tests
from eval.judging.judgments import read_judgments
from eval.numbers.difficulties import read_difficulties
from eval.results import Counts, Estimate, LeaderboardRow
from finetune.layout import read_launch_file
from finetune.recipe import KINDS, read_recipe
from selfinstruct.seeds import read_seeds, read_tasks
from tests import toy_world
from tests.fake_openai import FakeOpenAI
from tests.sandboxes import need_sandbox

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SECONDS = 900  # for all blocks of a page

# Numbers that set size, at toy size. Nothing else of a block is changed.
TOY_SIZES = ((r"--count \d+", "--count 12"),)


@dataclass(frozen=True)
class Block:
    """A fenced block of shell commands; `not_run` is the reason above its fence, if there is one."""

    place: str
    text: str
    not_run: str | None


def blocks(page: Path) -> list[Block]:
    """The shell blocks of a page, in order."""
    text = page.read_text()
    found = re.finditer(r"(?:^<!-- not run: ([^\n]+) -->\n)?^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    name = page.relative_to(ROOT)
    return [Block(f"{name}:{text.count(chr(10), 0, match.start(2))}", match[2], match[1]) for match in found]


def commands(block: Block, program: str) -> Iterator[list[str]]:
    """The words of each call of a program, with the block's own variables put in."""
    text = block.text.replace("\\\n", " ")
    variables = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
    for line in text.splitlines():
        words = shlex.split(Template(line).safe_substitute(variables), comments=True)
        while words:
            end = next((at for at, word in enumerate(words) if word in ("&&", "||", "|", ";", "&", ">")), len(words))
            if words[:1] == [program]:
                yield words[1:end]
            words = words[end + 1 :]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_are_commands_that_exist(page: Path) -> None:
    assert not re.search(r"^ *```(?:bash|shell|console|zsh)", page.read_text(), re.MULTILINE), "use ```sh"
    assert not re.search(r"^ +```sh", page.read_text(), re.MULTILINE), "indented blocks are not found"
    assert len(blocks(page)) == page.read_text().count("\n```sh\n"), "one block has swallowed another"
    for block in blocks(page):
        contained = [words[words.index("camelid") + 1 :] for words in commands(block, "docker") if words[0] == "run"]
        for words in [*commands(block, "camelid"), *contained]:
            try:
                args, more = build_parser().parse_known_args(words)
            except SystemExit:
                pytest.fail(f"{block.place}: camelid {shlex.join(words)}")
            assert not more or ("overrides" in args and all("=" in item for item in more)), (block.place, more)


def test_a_block_that_fails_is_noticed(tmp_path: Path) -> None:
    page = [Block("page.md:3", "true\n", None), Block("page.md:9", "X=1\nfalse\necho no\n", None)]
    result = execute(page, tmp_path, "http://127.0.0.1:1")
    assert result.returncode == 1 and "failed: page.md:9: false" in result.stderr and "no" not in result.stdout


def execute(page: list[Block], folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Run the blocks of a page in one shell; nothing that they started is left."""
    script = toy_world.PRELUDE
    for block in page:
        if block.not_run is None:
            text = block.text
            for pattern, size in TOY_SIZES:
                text = re.sub(pattern, size, text)
            script += f"AT={shlex.quote(block.place)}\n{text}\n"
    command = ["bash", "-c", script]
    environment = toy_world.environment(folder, url)
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as shell:
        try:
            out, error = shell.communicate(timeout=SECONDS)
        finally:
            if shell.poll() is None:
                os.killpg(shell.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(command, shell.returncode, out, error)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    toy_world.build(folder, [page.read_text() for page in PAGES])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_every_block_runs_as_written(page: Path, world: Path, tmp_path: Path) -> None:
    if "--mode execute" in page.read_text():
        need_sandbox()
    folder = tmp_path / "world"
    shutil.copytree(world, folder)
    toy_world.finish_runs(folder, page.read_text())
    with FakeOpenAI(toy_world.reply, json_schema=True) as server:
        result = execute(blocks(page), folder, server.url)
    assert result.returncode == 0, f"{result.stdout[-3000:]}\n{result.stderr[-5000:]}"
    assert not {body["model"] for body in server.requests if "/model" in body["model"]}, "no folder, taken for a name"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _ledger(path: Path) -> None:
    for counts in _lines(path)[0]["ledgers"]:
        assert Ledger.from_json(counts).to_json() == counts


def _text_record(path: Path) -> None:
    [record] = _lines(path)
    assert TextRecord.from_json(record, str(path)).to_json() == record


def _result(path: Path) -> None:
    [row] = _lines(path)
    assert set(row) <= {field.name for field in dataclasses.fields(LeaderboardRow)}
    from_tree(Estimate, row["score"], "score")
    from_tree(Counts, row["counts"], "counts")


def _rewritten(read: Callable[[Path], Iterable[Any]]) -> Callable[[Path], object]:
    """A reader whose records write themselves as they were."""
    return lambda path: [one.to_json() for one in read(path)] == _lines(path)


# What reads the example of each section of file-formats.md, and raises if it is no such thing.
READERS: dict[str, Callable[[Path], object]] = {
    "Instruction record": read_tasks,
    "Seed task": lambda path: read_seeds(_repeated(path, 3)),  # it wants at least three
    "Candidates": _rewritten(read_candidates),
    "Preference": _rewritten(read_pairs),
    "Labelled answer": _rewritten(read_labels),
    "Conversation": lambda path: list(read_conversations(path)),
    "Text record": _text_record,
    "Ledger": _ledger,
    "Journal": lambda path: Journal(path).get(_lines(path)[0]["key"]).text,  # type: ignore[union-attr]
    "Recipe": read_recipe,
    "Launch file": read_launch_file,
    "Run folder": lambda path: [line["update"] for line in _lines(path)],
    "Question": read_questions,
    "Task": lambda path: [task.reference for task in read_tasks_with_tests(path)],
    "Answer": lambda path: [answer.turns[0] for answer in read_answers(path)],
    "Judgment": lambda path: [judgment.scores for judgment in read_judgments(path)],
    "Results": _result,
    "Difficulties": lambda path: read_difficulties(path, [Question("1", "all", ("Who wrote Faust?",))]).slope,
}


def _repeated(path: Path, times: int) -> Path:
    path.write_text(path.read_text() * times)
    return path


def test_examples_of_file_formats_are_read(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "file-formats.md").read_text()
    examples = {
        part.split("\n")[0]: fence[1]
        for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]
        for fence in re.finditer(r"^```(?:json|yaml)\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    }
    assert set(examples) == set(READERS)
    for name, example in examples.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text(example)
        assert READERS[name](path) is not False


def test_the_reference_is_what_the_code_says() -> None:
    for path, text in generated().items():
        assert path.read_text() == text, f"{path.relative_to(ROOT)} is out of date: run `make docs`"
    reference = (ROOT / "docs" / "reference" / "recipe.md").read_text()
    for kind, recipe in KINDS.items():
        assert f"\n| `{kind}`" in reference
        for section in filter(dataclasses.is_dataclass, get_type_hints(recipe).values()):
            for field in dataclasses.fields(section):
                assert f"\n| `{field.name}` |" in reference
    commands = (ROOT / "docs" / "reference" / "commands.md").read_text()
    assert "## camelid eval judge\n" in commands and "`--mode single\\|pairwise\\|vicuna\\|alpaca" in commands


@pytest.mark.parametrize(
    ("picture", "name"), [("layers.svg", "Imports run one way"), ("layers-finetune.svg", "Inside finetune")]
)
def test_the_picture_has_the_layers_from_top_to_bottom(picture: str, name: str) -> None:
    shown = re.findall(
        r'<text x="[\d.]+" y="(\d+)"[^>]*font-weight="bold"[^>]*>([\w.]+)<', (ROOT / "docs" / picture).read_text()
    )
    heights = {module: int(height) for height, module in shown}
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [contract] = [one for one in contracts if one["name"] == name]
    prefix = "".join(f"{package}." for package in contract.get("containers", []))
    rows = [[prefix + module for module in layer.split(" | ")] for layer in contract["layers"]]
    assert len(rows) > 5 and {module for row in rows for module in row} == set(heights)
    for upper, lower in pairwise(rows):
        assert max(heights[module] for module in upper) < min(heights[module] for module in lower)


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0 and not result.stderr, result.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=.?https?:", page.read_text()), page.name
