"""No run writes over what it reads, or over what another run wrote or paid for."""

import json
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.files.read import read_json, read_jsonl


def generate(*arguments: object, count: int = 5) -> int:
    return main(["selfinstruct", "generate", "--quiet", "--count", str(count), *map(str, arguments)])


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    capsys.readouterr()
    assert generate(*arguments) == 2
    return capsys.readouterr().err


def test_an_input_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    questions = tmp_path / "x.jsonl"
    questions.write_text('{"text": "Why is the sky blue?"}\n')
    assert "is an input" in refused(capsys, "--decontaminate", questions, "--output", questions)
    ledger = questions.rename(tmp_path / "x.ledger.json")
    assert "is an input" in refused(capsys, "--decontaminate", ledger, "--output", tmp_path / "x.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["x.ledger.json"]


def test_another_runs_files_are_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "x.jsonl"
    assert generate("--output", output) == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert "made by another run (seed 0, now 1)" in refused(capsys, "--seed", 1, "--output", output)
    for name in ("x.ledger.json", "x.journal.jsonl"):
        assert "another run's ledger" in refused(capsys, "--output", tmp_path / name)
    assert "it would share" in refused(capsys, "--output", tmp_path / "x")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert generate("--output", output, count=9) == 0  # the same run, longer
    assert len(list(read_jsonl(output))) == 9


def test_two_runs_whose_names_differ_after_a_dot(tmp_path: Path) -> None:
    assert generate("--output", tmp_path / "gpt-4.1") == generate("--seed", 1, "--output", tmp_path / "gpt-4.5") == 0
    assert len(list(tmp_path.glob("*.journal.jsonl"))) == len(list(tmp_path.glob("*.ledger.json"))) == 2


def test_a_refused_run_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = ("--base-url", "http://127.0.0.1:9/v1")
    refused(capsys, "--model", "m", *url, "--max-cost", 1, "--output", tmp_path / "new" / "x.jsonl")
    assert not list(tmp_path.iterdir())


def test_two_evaluation_files_of_one_name_both_count(tmp_path: Path) -> None:
    assert generate("--output", tmp_path / "x.jsonl", count=30) == 0
    made = [record["instruction"] for _, record in read_jsonl(tmp_path / "x.jsonl")]
    paths = [tmp_path / folder / "q" / "question.jsonl" for folder in "ab"]
    for path, text in zip(paths, made[::20], strict=True):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"text": text}) + "\n")
    assert generate("--output", tmp_path / "y.jsonl", "--decontaminate", *paths, count=30) == 0
    facts = read_json(tmp_path / "y.ledger.json")
    assert len(facts["asked"]["decontaminate"]) == 2
    assert {reason.partition(":")[0] for reason in facts["ledgers"][-1]["dropped"] if reason.startswith("in ")} == {
        "in a/q/question.jsonl",
        "in b/q/question.jsonl",
    }


def test_a_card_replaces_no_file_of_another_origin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("--output", tmp_path / "x.jsonl", count=20) == 0
    readme = tmp_path / "card" / "README.md"
    readme.parent.mkdir()
    readme.write_text("mine")
    assert main(["selfinstruct", "card", str(tmp_path / "x.jsonl"), "--output", str(readme.parent)]) == 2
    assert readme.read_text() == "mine" and "no card of ours" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ("--prompt", "{}"),
        ("--persona", "{}"),
        ("--seeds", "{}"),
        ("--rules", "{}"),
        ("--decontaminate", "{}"),
        ("--method", "backtranslate", "--texts", "{}"),
        ("--method", "evol", "--model", "m", "--base-url", "http://127.0.0.1:9", "--instructions", "{}"),
        ("--quality-model", "offline", "--quality-prompt", "{}"),
    ],
)
def test_a_file_that_is_not_there_is_named(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "nowhere.yaml"
    given = [option.format(missing) for option in options]
    assert f"{missing}: no such file" in refused(capsys, *given, "--output", tmp_path / "x.jsonl")
    assert not (tmp_path / "x.jsonl").exists()
