"""Judging by a server that fails, and killed again and again: every verdict is kept, and the exit status tells."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.files.write import write_jsonl
from eval.ask.answer import Answer
from eval.results import Results
from tests.fake_openai import FakeOpenAI

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "none"}


def grade(body: dict[str, object]) -> str:
    """A grade that depends on the request alone."""
    return f"Fine.\n\nRating: [[{1 + len(json.dumps(body)) % 10}]]"


def prepare(folder: Path, questions: int, models: int = 2) -> list[str]:
    """Write questions and answers; return the arguments that all verbs share."""
    path = folder / "questions.jsonl"
    write_jsonl(path, ({"question_id": q, "category": "all", "turns": [f"question {q}?"]} for q in range(questions)))
    for model in range(models):
        write_jsonl(
            folder / "eval" / "answers" / f"m{model}.jsonl",
            (
                Answer(str(q), f"m{model}", (f"answer {q} of {model}" + "." * (q % 7),), (False,)).to_json()
                for q in range(questions)
            ),
        )
    return ["--questions", str(path), "--output", str(folder / "eval"), "--quiet"]


def run(verb: str, shared: list[str], *more: str) -> subprocess.CompletedProcess[str]:
    """The command in this process: exit status and what it printed."""
    command, out, err = ["eval", verb, *shared, *more], io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(command)
    return subprocess.CompletedProcess(command, status, out.getvalue(), err.getvalue())


def journal_keys(folder: Path) -> list[str]:
    path = folder / "eval" / "judgments" / "single" / "fake.journal.jsonl"
    if not path.exists():
        return []
    return [json.loads(line)["key"] for line in path.read_bytes().split(b"\n")[:-1]]


def results(folder: Path) -> Results:
    return Results.from_json(json.loads((folder / "eval" / "results.json").read_text()))


@pytest.mark.slow
def test_thirty_percent_failures_are_all_accounted_for(tmp_path: Path) -> None:
    """Of 80 requests about 30% are refused for good: counted, exit status 1, mended by the same command later."""
    shared = prepare(tmp_path, 40)
    refuse = random.Random(0).sample(range(80), 24)
    seen: list[str] = []

    def sometimes(body: dict[str, object]) -> str:
        seen.append(json.dumps(body))
        return "I would rather not say." if len(seen) - 1 in refuse else grade(body)

    with FakeOpenAI(sometimes, {"500": 0.15, "garbage": 0.15}) as server:
        arguments = ("--model", "fake", "--base-url", server.url, "--audit", "0")
        judged = run("judge", shared, *arguments)
        assert judged.returncode == 1 and "56 of 80 judgments made by fake" in judged.stdout
        assert "the reply holds no verdict" in judged.stderr and "and 19 more" in judged.stderr
        reported = run("report", shared)
    assert reported.returncode == 1 and "Incomplete, so not ranked: 24 of 80" in reported.stdout
    found = results(tmp_path)
    counts = found.boards[0].counts
    assert (counts.expected, counts.answered, counts.judged, counts.unparsed, counts.failed) == (80, 80, 56, 24, 0)
    assert all(row.rank is None for row in found.boards[0].rows)
    forced = run("report", shared, "--force")
    assert forced.returncode == 1 and [row.rank for row in results(tmp_path).boards[0].rows] == [1, 2]


def test_a_permanent_error_ends_at_once_and_is_no_verdict(tmp_path: Path) -> None:
    shared = prepare(tmp_path, 200)
    with FakeOpenAI(grade, {"401": 1.0}) as server:
        started = time.monotonic()
        judged = run("judge", shared, "--model", "fake", "--base-url", server.url)
        assert time.monotonic() - started < 5
        assert judged.returncode == 1 and len(server.requests) < 50
    assert "authentication" in judged.stderr and "0 of" in judged.stdout
    assert run("report", shared).returncode == 1
    assert results(tmp_path).boards[0].counts.failed == 400
    with FakeOpenAI(grade) as server:  # the right key, the same command
        assert run("judge", shared, "--model", "fake", "--base-url", server.url).returncode == 0
    assert run("report", shared).returncode == 0


@pytest.mark.parametrize("good", [0, 8])
def test_a_judge_that_never_gives_a_verdict_is_asked_about_ten_times(tmp_path: Path, good: int) -> None:
    shared, seen = prepare(tmp_path, 100), list[int]()

    def chat(body: dict[str, object]) -> str:
        seen.append(1)
        return grade(body) if len(seen) <= good else "Both are lovely."

    with FakeOpenAI(chat) as server:
        arguments = ("--model", "fake", "--base-url", server.url, "--audit", "0", "--concurrency", "4")
        judged = run("judge", shared, *arguments)
        assert judged.returncode == 1 and len(server.requests) <= good + 10 + 2 * 4
        asked = len(server.requests)
        path = tmp_path / "eval" / "judgments" / "single" / "fake.jsonl"
        assert "no_progress: 10 replies in a row held no verdict, such as 'Both are lovely.'" in path.read_text()
        server.answer = grade
        assert run("judge", shared, *arguments).returncode == 1  # those without a verdict stay as they are
        assert len(server.requests) == 200 and set(server.good_replies.values()) == {1}
    assert len(path.read_text().splitlines()) == 200 and asked > 10


def test_duplicate_rows_in_a_file_are_reported(tmp_path: Path) -> None:
    shared = prepare(tmp_path, 10)
    with FakeOpenAI(grade) as server:
        assert run("judge", shared, "--model", "fake", "--base-url", server.url, "--audit", "0").returncode == 0
    path = tmp_path / "eval" / "judgments" / "single" / "fake.jsonl"
    lines = path.read_text().splitlines()
    again = json.loads(lines[3]) | {"text": "Rating: [[1]]"}
    path.write_text("\n".join([*lines, lines[3], json.dumps(again)]) + "\n")
    assert run("report", shared).returncode == 0
    found = results(tmp_path)
    assert found.boards[0].counts.duplicate == 2 and found.boards[0].counts.judged == 20
    assert any("2 duplicate judgments were left out" in note for note in found.notes)


@pytest.mark.slow
def test_killed_at_twenty_points(tmp_path: Path) -> None:
    """No verdict in the journal is ever lost or asked for again; the file comes out as if nothing had happened."""
    (tmp_path / "straight").mkdir()
    (tmp_path / "killed").mkdir()
    with FakeOpenAI(grade) as server:
        shared = prepare(tmp_path / "straight", 150)
        arguments = ("--model", "fake", "--base-url", server.url, "--concurrency", "4")
        assert run("judge", shared, *arguments).returncode == 0
    total = len(journal_keys(tmp_path / "straight"))
    shared, kept = prepare(tmp_path / "killed", 150), list[str]()
    judge = [sys.executable, "-m", "camelid.app.cli", "eval", "judge"]
    with FakeOpenAI(grade, latency=0.02) as server:
        arguments = ("--model", "fake", "--base-url", server.url, "--concurrency", "4")
        for point in range(1, 21):
            process = subprocess.Popen([*judge, *shared, *arguments], env=ENV, stdout=subprocess.DEVNULL)
            while len(journal_keys(tmp_path / "killed")) < point * total // 22 and process.poll() is None:
                time.sleep(0.002)
            assert process.poll() is None, "finished before it was killed"
            process.send_signal(signal.SIGKILL)
            process.wait()
            keys = journal_keys(tmp_path / "killed")
            assert keys[: len(kept)] == kept and len(set(keys)) == len(keys)
            kept = keys
        assert run("judge", shared, *arguments).returncode == 0
        assert len(server.answered) <= total + 20 * 4  # at most what was in flight at a kill was asked again
    keys = journal_keys(tmp_path / "killed")
    assert keys[: len(kept)] == kept and len(set(keys)) == len(keys) == total
    names = [tmp_path / name / "eval" / "judgments" / "single" / "fake.jsonl" for name in ("straight", "killed")]
    assert names[0].read_bytes() == names[1].read_bytes()
