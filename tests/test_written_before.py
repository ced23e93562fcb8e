"""Files that version 0.1.0 wrote before its modules moved: they still read, and what was begun goes on from them.

`written_before/README.md` says by which commands they were made.
"""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main

ROOT = Path(__file__).parents[1]
WRITTEN = Path(__file__).parent / "written_before"
EXPECTED = WRITTEN / "expected"
Command = Callable[..., str]

NOBODY = ("--base-url", "http://127.0.0.1:9/v1", "--price", "1,2")  # no server is there: what is asked fails
SEEDS = ("--seeds", "instructions/seeds.jsonl")
ON_JUDGED = ("--questions", "judged/questions.jsonl", "--output", "judged")
JUDGES = {
    "single": ("--model", "offline"),
    "alpaca": ("--model", "judge", *NOBODY, "--mode", "alpaca", "--baseline", "untrained"),
}
# On the machine that made the files all is the same to the last bit. Another processor may sum in another order: with
# torch's and MKL's plainest instructions, the same run differed by 6e-7.
ROUNDING = 1e-5
# What a report says in another way since: intervals of rare wins, win rates at equal length (difficulties from a file),
# comparisons with one's own model, planned power; and the sentences.
SAID_ANEW = {"low", "high", "length_controlled", "differences", "notes"}
MEASURED = {"seconds", "tokens_per_second", "trained_tokens_per_second", "memory_gb"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files, and the working directory: paths are those of the old commands."""
    copy = tmp_path / "copy"
    shutil.copytree(WRITTEN, copy)
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def camelid(folder: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command there; returns what it says."""

    def run(*arguments: str) -> str:
        status = main(arguments)
        said = capsys.readouterr()
        assert status == 0, said
        return said.out

    return run


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file; lock files come and go."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock" and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def written_at(folder: Path) -> dict[Path, tuple[int, int]]:
    """Which files are in a folder, and when each was written."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def read_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def differences(found: Any, expected: Any, place: str = "") -> list[str]:
    """Where two JSON values differ by more than rounding."""
    if isinstance(expected, dict) and isinstance(found, dict) and found.keys() == expected.keys():
        return [line for key in expected for line in differences(found[key], expected[key], f"{place}.{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        pairs = enumerate(zip(found, expected, strict=True))
        return [line for index, pair in pairs for line in differences(*pair, f"{place}[{index}]")]
    numbers = isinstance(expected, float) and isinstance(found, float)
    same = math.isclose(found, expected, rel_tol=ROUNDING, abs_tol=1e-12) if numbers else found == expected
    return [] if same else [f"{place}: {found!r}, expected {expected!r}"]


def report_differences(found: Any, expected: Any) -> list[str]:
    """The same of two reports, in what version 0.1.0 had and says still as it did."""
    return differences(_as_before(found, expected), _as_before(expected, expected))


def _as_before(value: Any, known: Any) -> Any:
    if isinstance(value, dict) and isinstance(known, dict):
        return {key: _as_before(value[key], known[key]) for key in known if key not in SAID_ANEW and key in value}
    if isinstance(value, list) and isinstance(known, list) and len(value) == len(known):
        return [_as_before(one, other) for one, other in zip(value, known, strict=True)]
    return False if value is None and known is False else value  # what is unknown was called not found


# selfinstruct


def test_finished_records_are_left_as_they_are(folder: Path, camelid: Command) -> None:
    before = written_at(folder / "instructions")
    records = ("--count", "12", "--output", "instructions/records.jsonl")
    said = camelid("selfinstruct", "generate", "--model", "offline", *SEEDS, *records)
    assert said == "instructions/records.jsonl: already made\n"
    after = written_at(folder / "instructions")
    assert {path: after[path] for path in before} == before
    assert contents(folder / "instructions") == contents(WRITTEN / "instructions")


def test_more_records_come_from_the_journal_and_then_the_model(folder: Path, camelid: Command) -> None:
    records = ("--count", "20", "--output", "instructions/records.jsonl")
    said = camelid("selfinstruct", "generate", "--model", "offline", *SEEDS, *records)
    assert "offline: 1 requests sent" in said
    before, after = contents(WRITTEN / "instructions"), contents(folder / "instructions")
    assert after["records.journal.jsonl"].startswith(before["records.journal.jsonl"])
    keys = [line["key"] for line in read_lines(folder / "instructions" / "records.journal.jsonl")]
    assert len(keys) == len(set(keys)) == 2
    assert after["records.jsonl"] == before["records.jsonl"] + (EXPECTED / "records-13-to-20.jsonl").read_bytes()


def test_records_come_again_from_a_journal_with_a_failure(folder: Path, camelid: Command) -> None:
    records, ledger, journal = (
        folder / "teacher" / name for name in ("records.jsonl", "records.ledger.json", "records.journal.jsonl")
    )
    made, counted, kept = records.read_bytes(), read_json(ledger), read_lines(journal)
    records.unlink()
    ledger.unlink()
    where = ("--count", "4", "--output", "teacher/records.jsonl")
    said = camelid("selfinstruct", "generate", "--model", "teacher", *NOBODY, *SEEDS, *where)
    assert "teacher: 0 requests sent, 2 answered from the journal" in said
    assert records.read_bytes() == made
    counted["spent"][0] |= {"requests_sent": 0, "answered_from_journal": 2}
    again = read_json(ledger)  # newer ones say more
    for name in ("ledgers", "spent"):
        pairs = zip(again.pop(name), counted.pop(name), strict=True)
        assert all(now.items() >= before.items() for now, before in pairs)
    assert again == counted
    assert [line for line in read_lines(journal) if "reply" in line] == kept[1:] and "failure" in kept[0]


# conversations


def test_conversations_convert_to_the_same(folder: Path, camelid: Command) -> None:
    said = camelid("conversations", "convert", "chats/chats.jsonl", "--output", "again.jsonl", "--quiet")
    assert "read 13 conversations: kept 13, dropped 0" in said
    assert (folder / "again.jsonl").read_bytes() == (WRITTEN / "chats" / "chats.jsonl").read_bytes()
    camelid("conversations", "convert", "chats/export.json", "--output", "chats/chats.jsonl", "--scrub", "--quiet")
    assert contents(folder / "chats") == contents(WRITTEN / "chats")


def test_an_audit_counts_the_same(camelid: Command) -> None:
    under = ("--template", "chatml", "--tokenizer", "training/model", "--max-length", "256")
    said = camelid("conversations", "audit", "chats/chats.jsonl", *under)
    numbers = re.compile(r"\d[\d.,]*")  # the words between them may change
    assert numbers.findall(said) == numbers.findall((EXPECTED / "audit.txt").read_text())


# finetune


def test_a_model_folder_is_known(folder: Path, camelid: Command) -> None:
    data = ("--data", "instructions/records.jsonl", "chats/chats.jsonl", "--template", "chatml")
    said = camelid("weights", "new", "training/shape.yaml", "training/model", *data)
    assert said == "training/model: already made\n"
    assert contents(folder / "training" / "model") == contents(WRITTEN / "training" / "model")


@pytest.mark.parametrize("name", ["full", "lora"])
def test_a_killed_run_goes_on_from_its_checkpoint(folder: Path, name: str) -> None:
    output = folder / "training" / name
    shutil.unpack_archive(output / "checkpoints.tar.gz", output, filter="data")
    tokens = written_at(output / "tokens")
    # A process of its own, as a launcher starts it, whose threads sum as those of the run before.
    command = [sys.executable, "-m", "finetune.train", f"training/{name}.yaml", "--quiet"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"resumed from training/{name}/checkpoints/update-00000004" in result.stdout
    assert written_at(output / "tokens") == tokens  # not tokenised again
    assert contents(output / "tokens") == contents(WRITTEN / "training" / name / "tokens")
    found, expected = read_lines(output / "metrics.jsonl"), read_lines(EXPECTED / f"{name}.metrics.jsonl")
    assert found[:4] == expected[:4]  # with their seconds: not trained again
    assert [line.keys() for line in found] == [line.keys() for line in expected]
    for line in found[4:] + expected[4:]:
        for measured in MEASURED:
            del line[measured]
    assert differences(found, expected) == []
    assert read_json(output / "summary.json")["updates"] == 8


# eval


@pytest.mark.parametrize("model", ["offline", "training/model"])
def test_answers_are_not_asked_for_again(folder: Path, camelid: Command, model: str) -> None:
    untrained = ("--label", "untrained", "--temperature", "0", "--max-tokens", "12")
    said = camelid("eval", "answer", *ON_JUDGED, "--model", model, *(untrained if model != "offline" else ()))
    assert "\n0 requests sent, 5 answered from the journal" in said
    assert contents(folder / "judged") == contents(WRITTEN / "judged")


def test_only_missing_answers_are_asked_for(folder: Path, camelid: Command) -> None:
    answers, journal = (folder / "judged" / "answers" / name for name in ("offline.jsonl", "offline.journal.jsonl"))
    answers.unlink()
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:2]))
    said = camelid("eval", "answer", *ON_JUDGED, "--model", "offline")
    assert "\n3 requests sent, 2 answered from the journal" in said
    journal.write_text(journal.read_text().replace('"model": "offline", "reply"', '"reply"'))  # newer lines name it
    assert contents(folder / "judged") == contents(WRITTEN / "judged")


@pytest.mark.parametrize("mode", list(JUDGES))
def test_judgments_are_not_asked_for_again(folder: Path, camelid: Command, mode: str) -> None:
    said = camelid("eval", "judge", *ON_JUDGED, *JUDGES[mode], "--audit", "2")
    assert "\n0 requests sent" in said
    before, after = (contents(where / "judged" / "judgments" / mode) for where in (WRITTEN, folder))
    for files in (before, after):
        (name,) = (name for name in files if name.endswith(".run.json"))
        run = json.loads(files.pop(name))
        assert run["requests_sent"] + run["answered_from_journal"] == {"single": 14, "alpaca": 9}[mode]
    assert after == before


@pytest.mark.parametrize("mode", list(JUDGES))
def test_a_report_has_the_same_numbers(folder: Path, camelid: Command, mode: str) -> None:
    camelid("eval", "report", *ON_JUDGED, "--mode", mode)
    found, expected = read_json(folder / "judged" / "results.json"), read_json(EXPECTED / f"results-{mode}.json")
    assert report_differences(found, expected) == []


@pytest.mark.parametrize("mode", list(JUDGES))
def test_a_report_of_earlier_judgments_has_the_same_numbers(folder: Path, camelid: Command, mode: str) -> None:
    """Judgments of version 0.1.0, whose prompts were others."""
    where = ("--questions", "judged_earlier/questions.jsonl", "--output", "judged_earlier")
    camelid("eval", "report", *where, "--mode", mode)
    expected = read_json(EXPECTED / f"results-earlier-{mode}.json")
    assert report_differences(read_json(folder / "judged_earlier" / "results.json"), expected) == []


def test_a_report_of_votes_has_the_same_numbers(folder: Path, camelid: Command) -> None:
    camelid("eval", "report", "--questions", "votes/questions.jsonl", "--output", "votes")
    found, expected = read_json(folder / "votes" / "results.json"), read_json(EXPECTED / "results-votes.json")
    assert report_differences(found, expected) == []
