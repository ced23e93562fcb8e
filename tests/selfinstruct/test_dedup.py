"""Corpora larger than memory: the same words and questions as the generator, in datatrove's stages."""

import gzip
import json
import random
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.errors import UserError
from camelid.files.read import read_json
from camelid.text.dedup_stages import read_documents
from selfinstruct.dedup import DUPLICATE, INSTRUCTION_RECORDS
from tests.selfinstruct.teacher import words


def corpus(folder: Path) -> list[dict[str, str]]:
    """40 different tasks in two files, one of them compressed."""
    rng = random.Random(0)
    records = [{"instruction": words(12, rng), "input": "", "output": words(5, rng)} for _ in range(40)]
    lines = [json.dumps(record) + "\n" for record in records]
    folder.mkdir()
    (folder / "a.jsonl").write_text("".join([*lines[:20], lines[30].replace('"output": "', '"output": "other ')]))
    changed = records[0] | {"instruction": records[0]["instruction"].upper() + "!"}
    chinese = [{"instruction": f"请写一首关于春天和夏天的短诗{end}", "input": "", "output": "春"} for end in "。,"]
    more = [json.dumps(record) + "\n" for record in (changed, *chinese)]
    (folder / "b.jsonl.gz").write_bytes(gzip.compress("".join([*lines[20:], *more]).encode()))
    return records


def test_duplicates_and_questions_go_and_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = corpus(tmp_path / "corpus")
    questions = tmp_path / "bench.jsonl"
    questions.write_text(json.dumps({"text": records[5]["instruction"]}) + "\n")
    command = ["selfinstruct", "dedup", str(tmp_path / "corpus"), "--output", str(tmp_path / "out"), "--tasks", "2"]
    assert main([*command, "--decontaminate", str(questions)]) == 0
    [counts] = read_json(tmp_path / "out" / "ledger.json")["ledgers"]
    assert (counts["read"], counts["kept"]) == (44, 40)
    assert list(counts["dropped"].values()) == [3, 1] and counts["dropped"][DUPLICATE] == 3
    data = b"".join(gzip.decompress(path.read_bytes()) for path in (tmp_path / "out" / "data").iterdir())
    out = [json.loads(line) for line in data.decode().splitlines()]
    assert len(out) == 40 and sum("春" in record["instruction"] for record in out) == 1
    kept = {record["instruction"].lower().strip("!") for record in out}
    assert {record["instruction"] for record in records} - kept == {records[5]["instruction"]}
    assert main([*command, "--decontaminate", str(questions)]) == 0  # nothing is done twice
    assert main(command) == 2 and "other options" in capsys.readouterr().err


def test_what_is_read_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus(tmp_path / "data")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for output in (tmp_path / "data", tmp_path / "data" / "out", tmp_path):
        assert main(["selfinstruct", "dedup", str(tmp_path / "data"), "--output", str(output)]) == 2
        assert "give another folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_journals_are_skipped_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "made"
    command = ["selfinstruct", "dedup", str(folder), "--output", str(tmp_path / "out")]
    folder.mkdir()
    assert main(command) == 2 and "made: no *.jsonl" in capsys.readouterr().err
    command[2] += "s"
    assert main(command) == 2 and f"mades: no such folder; did you mean '{folder}'?" in capsys.readouterr().err
    command[2] = str(folder)
    (folder / "a.candidates.jsonl").write_text('{"id": "x"}\n')
    assert (
        main(["selfinstruct", "generate", "--output", str(folder / "a.jsonl"), "--count", "3", "--model", "offline"])
        == 0
    )
    (folder / "a.journal.jsonl").touch()
    capsys.readouterr()
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "not read, for they hold API replies and no records: a.candidates.jsonl, a.journal.jsonl\n" in out
    assert read_json(tmp_path / "out" / "ledger.json")["ledgers"][0]["read"] == 3


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"instruction": "a", "output": "b"}\n{"text": "c"}\n')
    with pytest.raises(UserError, match=r"x\.jsonl:2: expected an instruction record"):
        list(read_documents(None, 0, 1, str(tmp_path), INSTRUCTION_RECORDS))


def test_slurm_gets_one_job_a_stage_each_after_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus(tmp_path / "corpus")
    (tmp_path / "sbatch").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/log\necho Submitted batch job 7\n')
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    command = ["selfinstruct", "dedup", str(tmp_path / "corpus"), "--output", str(tmp_path / "out")]
    command += ["--executor", "slurm", "--executor-option", "partition=cpu"]
    assert main(command) == 2 and "add --executor-option time=..." in capsys.readouterr().err
    assert main([*command, "--executor-option", "time=1:00:00"]) == 0 and "submitted" in capsys.readouterr().out
    assert (tmp_path / "log").read_text().count("--dependency=afterok:7") == 3
    for stage in ("signatures", "pairs", "clusters", "filter"):
        script = (tmp_path / "out" / "logs" / stage / "launch_script.slurm").read_text()
        assert "--partition=cpu" in script and f"--job-name=camelid-{stage}" in script
