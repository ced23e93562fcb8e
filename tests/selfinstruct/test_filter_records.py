"""An existing set is filtered as generated records are, by the command; checked on published rows labelled by hand."""

import argparse
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.app.command_line import CommandParser
from camelid.app.open_model import add_model_arguments
from camelid.files.read import read_json, read_jsonl
from camelid.models.model_run import ModelRun
from selfinstruct import command
from tests.selfinstruct.methods.test_table import Asked, Grader
from tests.selfinstruct.teacher import words

LABELS = Path(__file__).parents[1] / "benchmarks" / "alpaca_labels.jsonl"
# What rules can tell; a wrong answer takes a quality model.
FOR_RULES = {"refuses", "cut off", "only a link", "invented link", "similar"}


def run_filter(
    folder: Path, records: list[dict[str, Any]], *more: object
) -> tuple[int, list[dict[str, Any]], dict[str, Any], Asked]:
    """Filter records by the command; return its status, what is kept, the ledger and the grader."""
    source, output, grader = folder / "set.json", folder / "kept.jsonl", Asked(Grader())
    source.write_text(json.dumps(records))

    def open_model(args: argparse.Namespace, journal: Any) -> ModelRun:
        return ModelRun(grader, journal, 8, None, None, args.max_requests)

    parser = CommandParser()
    command.register(parser.add_subparsers(), open_model, add_model_arguments)
    args = parser.parse_args(["selfinstruct", "filter", str(source), "--output", str(output), *map(str, more)])
    status = args.run(args)
    kept = [record for _, record in read_jsonl(output)] if output.exists() else []
    return status, kept, read_json(output.with_suffix(".ledger.json")), grader


def record(instruction: str, output: str = "Yes.", **fields: Any) -> dict[str, Any]:
    return {"instruction": instruction, "output": output, **fields}


def test_records_are_kept_whole_and_drops_are_named(tmp_path: Path) -> None:
    records = [
        record("Name three rivers of Africa.", id=7, source="mine", input=None),
        record("Name three large rivers of Africa."),
        record("Explain what a market is.", "", input="x"),
        record("Explain how rain forms.", input="No input required."),
    ]
    status, kept, ledger, _ = run_filter(tmp_path, records)
    assert main(["selfinstruct", "card", str(tmp_path / "kept.jsonl"), "--output", str(tmp_path / "card")]) == 2
    assert status == 0 and kept == [records[0], {**records[3], "input": ""}]
    [counts] = ledger["ledgers"]
    assert counts["dropped"] == {"too similar to one before": 1, "output empty": 1} and counts["read"] == 4
    assert counts["examples"]["output empty"].endswith("set.json[2]")
    assert counts["repaired"] == {"input said that there is none: emptied": 1}


def test_fields_of_generate_change_no_decision(tmp_path: Path) -> None:
    records = [record(f"Explain what {word} is to a child.") for word in "rain snow hail rain fog".split()]
    records += [record(f"Say why {word} is {word}.") for word in "ice water steam".split()]
    _, kept, _, _ = run_filter(tmp_path, records)
    (tmp_path / "fields").mkdir()
    _, scored, _, _ = run_filter(tmp_path / "fields", records, "--similarity")
    assert [item["instruction"] for item in scored] == [item["instruction"] for item in kept]
    assert max(max(item["most_similar"].values(), default=0) for item in scored) <= 0.7


def test_quality_is_asked_once_and_resumed(tmp_path: Path) -> None:
    rng = random.Random(0)
    records = [record(f"Explain {words(6, rng)}.", words(3, rng)) for _ in range(30)]
    (tmp_path / "straight").mkdir()
    _, straight, ledger, _ = run_filter(tmp_path / "straight", records, "--quality-model", "grader")
    assert ledger["ledgers"][0]["dropped"]["quality below 4.5"] > 0
    status, _, stopped, first = run_filter(tmp_path, records, "--quality-model", "grader", "--max-requests", 5)
    assert status == 1 and not stopped["complete"] and "--max-requests" in stopped["stopped"]
    status, kept, ledger, second = run_filter(tmp_path, records, "--quality-model", "grader")
    assert status == 0 and kept == straight and not (first.asked & second.asked)
    assert ledger["spent"][0]["answered_from_journal"] == 5


def real(name: str) -> Path:
    if "CAMELID_REAL_DATA" not in os.environ:
        pytest.skip("CAMELID_REAL_DATA names no folder of published files")
    return Path(os.environ["CAMELID_REAL_DATA"]) / name


def test_published_rows_labelled_by_hand(tmp_path: Path) -> None:
    """300 of the 999 rows; what came of them is in docs/selfinstruct.md."""
    rows = read_json(real("selfinstruct/alpaca_999.json"))
    labels = {line["row"]: line["label"] for _, line in read_jsonl(LABELS)}
    _, kept, ledger, _ = run_filter(tmp_path, [{**row, "row": number} for number, row in enumerate(rows)])
    dropped = set(labels) - {item["row"] for item in kept}
    wanted = {row for row, label in labels.items() if label in FOR_RULES}
    assert len(labels) == 300 and wanted <= dropped
    assert len(dropped & wanted) / len(dropped) >= 0.85
    emptied = {item["row"] for item in kept if item["input"] != rows[item["row"]]["input"]}
    assert {row for row, label in labels.items() if label == "no input"} == emptied & set(labels)
    assert sum(ledger["ledgers"][0]["dropped"].values()) <= 60


def test_planted_evaluation_tasks_are_all_found(tmp_path: Path) -> None:
    rows = read_json(real("selfinstruct/alpaca_999.json"))[:300]
    tasks = [task for _, task in read_jsonl(real("selfinstruct/user_oriented_252.jsonl"))]
    planted = [record(task["instruction"], input=task["instances"][0]["input"]) for task in tasks]
    questions = [question["text"] for _, question in read_jsonl(real("vicuna80/question.jsonl"))]
    planted += [record(text) for text in questions] + [record(f"Please answer: {text.upper()}") for text in questions]
    mixed = [*rows[:150], *({**item, "planted": True} for item in planted), *rows[150:]]
    files = [real("selfinstruct/user_oriented_252.jsonl"), real("vicuna80/question.jsonl")]
    lenient = tmp_path / "lenient.yaml"  # so that nothing but the questions stands in the way
    lenient.write_text("language: English\nfewest_words: 0\nmost_words: 100000\n")
    _, kept, ledger, _ = run_filter(tmp_path, mixed, "--rules", lenient, "--decontaminate", *files)
    assert not [item["instruction"] for item in kept if "planted" in item]
    reasons = ledger["ledgers"][0]["dropped"]
    assert sum(count for reason, count in reasons.items() if reason.startswith("in ")) >= len(planted) - 1 == 411
