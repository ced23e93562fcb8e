"""Instructions that code can check: the verdicts are those of the published checker."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.errors import UserError
from camelid.files.write import write_jsonl
from eval.judging.instruction_checks import CHECKS, Instruction, count_sentences, read_instructions
from tests.eval.commands import report

# Made-up answers with the verdicts of lm-evaluation-harness 0.4.13 (lm_eval/tasks/ifeval), strict and loose, one
# instruction each. Its sentences were counted by an untrained Punkt that knows a few abbreviations.
VERDICTS = [
    json.loads(line) for line in (Path(__file__).parent / "ifeval_verdicts.jsonl").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("name", CHECKS)
def test_the_published_checker_says_the_same(name: str) -> None:
    rows = [row for row in VERDICTS if row["instruction"] == name]
    assert len(rows) >= 10 and 1 < Counter(row["followed"] for row in rows)[True] < len(rows)
    for row in rows:
        one = Instruction(name, row["arguments"])
        assert (one.followed(row["answer"]), one.followed_loosely(row["answer"])) == (
            row["followed"],
            row["loosely"],
        ), row


@pytest.mark.parametrize(
    ("text", "count"),
    [("One. Two! Three?", 3), ("Dr. Smith paid 3.50. He left.", 2), ("No end", 1), ('"Stop!" he said. Done.', 3)],
)
def test_sentences(text: str, count: int) -> None:
    assert count_sentences(text) == count


def test_a_keyword_that_is_no_regular_expression_is_looked_for_to_the_letter() -> None:
    one = Instruction("keywords:existence", {"keywords": ["c++("]})
    assert one.followed("In C++( there is") and not one.followed("In C there is")


def test_from_published_questions_to_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`key`, `prompt`, `instruction_id_list` and `kwargs` as in IFEval's file, whose kwargs hold many nulls."""
    questions = tmp_path / "ifeval.jsonl"
    comma, words = "punctuation:no_comma", "length_constraints:number_words"
    limit = {"relation": "at least", "num_words": 3, "keywords": None}
    write_jsonl(
        questions,
        [
            {"key": 1000, "prompt": "No comma.", "instruction_id_list": [comma], "kwargs": [{"num_words": None}]},
            {"key": 1001, "prompt": "Both.", "instruction_id_list": [comma, words], "kwargs": [{}, limit]},
            {"key": 1002, "prompt": "Words.", "instruction_id_list": [words], "kwargs": [limit]},
        ],
    )
    for label, texts in {"good": ("None", "one two three", "a b c, d"), "bad": ("a, b", "one, two", "a b c")}.items():
        write_jsonl(
            tmp_path / "out" / "answers" / f"{label}.jsonl",
            ({"question_id": str(1000 + q), "model_id": label, "text": text} for q, text in enumerate(texts)),
        )
    command = ("--questions", str(questions), "--output", str(tmp_path / "out"))
    assert main(["eval", "check", *command, "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "good: strict 100.0% of prompts, 100.0% of instructions; loose 100.0%" in said
    assert "bad: strict 33.3% of prompts, 25.0% of instructions" in said and "6 of 6 answers checked" in said
    assert main(["eval", "report", *command]) == 0
    rows = {row.label: row.score.mean for row in report(tmp_path).boards[0].rows if row.score}
    assert rows == {"good": 100.0, "bad": pytest.approx(100 / 3)}
    (tmp_path / "out" / "answers" / "bad.jsonl").write_text("")
    write_jsonl(tmp_path / "out" / "answers" / "bad.jsonl", [{"question_id": "1000", "model_id": "bad", "text": "a"}])
    assert main(["eval", "check", *command]) == 1 and "4 of 6 answers checked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("record", "error"),
    [
        ({}, "field 'instruction_id_list' must be a list of instructions"),
        ({"instruction_id_list": ["punctuation:no_comma"]}, "field 'kwargs' must be a list with one object for each"),
        ({"instruction_id_list": ["punctuation:no_coma"], "kwargs": [{}]}, "did you mean 'punctuation:no_comma'"),
        ({"instruction_id_list": ["startend:end_checker"], "kwargs": [None]}, "needs end_phrase in 'kwargs'"),
        ({"instruction_id_list": ["punctuation:no_comma"], "kwargs": ["x"]}, "must hold objects, found 'x'"),
    ],
)
def test_mistakes(record: dict[str, Any], error: str) -> None:
    with pytest.raises(UserError, match=error):
        read_instructions(record, "q.jsonl:1")
