"""`camelid eval difficulties`: from folders of annotations to a file that `eval report` uses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from camelid.app.cli import main
from camelid.errors import UserError
from camelid.files.write import write_json, write_jsonl
from eval.ask.questions import Question
from eval.numbers.difficulties import read_difficulties
from tests.eval.commands import report

QUESTIONS, HARD = 60, np.random.default_rng(0).normal(0, 1.5, 60)
BASELINE = "base"


def annotations(model: str, own: float, seed: int, characters: int = 300, judge: str = "j") -> list[dict[str, Any]]:
    """One model's, in AlpacaEval's shape; the sixtieth question has blanks around it, the first no verdict."""
    wins = np.random.default_rng(seed).random(QUESTIONS) < expit(own + HARD)
    return [
        {
            "instruction": f"Do {place}." + "  \n" * (place == QUESTIONS - 1),
            "output_1": "b" * (200 + 10 * place),
            "generator_1": BASELINE,
            "output_2": "m" * (characters + 7 * place % 100),
            "generator_2": model,
            "annotator": judge,
            "preference": 1.0 + float(wins[place]) if place else None,
        }
        for place in range(QUESTIONS)
    ]


@pytest.fixture
def difficulties(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*more: str) -> tuple[int, str, str]:
        status = main(["eval", "difficulties", str(tmp_path / "ae"), *more])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def write_models(folder: Path, models: int = 8) -> None:
    for place in range(models):
        write_json(folder / f"m{place}" / "gpt4" / "annotations.json", annotations(f"m{place}", place / 4 - 1, place))


def test_from_a_folder_to_a_report(tmp_path: Path, difficulties: Callable[..., tuple[int, str, str]]) -> None:
    """The planted difficulties come out in order; a report with them calls nothing a single-model estimate."""
    write_models(tmp_path / "ae")
    write_jsonl(tmp_path / "ae" / "own.jsonl", annotations(BASELINE, 0, 9))  # the baseline against itself: no row
    (tmp_path / "ae" / "m0" / "model_outputs.json").write_text(json.dumps([{"instruction": "Do 1.", "output": "x"}]))
    status, out, _ = difficulties()
    assert status == 0 and "1 files hold no annotations: m0/model_outputs.json" in out
    assert "difficulties of 59 questions, from 472 annotations of 8 models" in out
    path = tmp_path / "ae" / "difficulties.json"
    questions = [Question(f"q{place}", "all", (f"  Do {place}.",)) for place in range(QUESTIONS)]
    known = read_difficulties(path, questions)
    assert "q0" not in known.log_odds and len(known.log_odds) == 59
    found = [known.log_odds[f"q{place}"] for place in range(1, QUESTIONS)]
    assert np.corrcoef(found, HARD[1:])[0, 1] > 0.85
    assert difficulties() == (status, out, "")  # its own file is no stranger

    write_jsonl(tmp_path / "questions.jsonl", ({"id": one.id, "text": one.turns[0]} for one in questions))
    for label, place in ((BASELINE, 1), ("m5", 2)):
        rows = annotations("m5", 0.25, 5, characters=30)
        write_jsonl(
            tmp_path / "out" / "answers" / f"{label}.jsonl",
            ({"question_id": f"q{q}", "model_id": label, "text": row[f"output_{place}"]} for q, row in enumerate(rows)),
        )
    judged = [{**row, "instruction": f"  Do {q}."} for q, row in enumerate(annotations("m5", 0.25, 5, 30))]
    write_jsonl(tmp_path / "out" / "judgments" / "alpaca" / "j.jsonl", judged)
    command = ["eval", "report", "--questions", str(tmp_path / "questions.jsonl"), "--output", str(tmp_path / "out")]
    assert main(command) == 1  # q0 has no verdict
    alone = report(tmp_path)
    assert alone.single_model and any("is a single-model estimate" in note for note in alone.notes)
    assert any("is an extrapolation for m5" in note for note in alone.notes)
    main([*command, "--difficulties", str(path)])
    fitted = report(tmp_path)
    assert not fitted.single_model and not any("single-model" in note for note in fitted.notes)
    before, after = (next(row for row in one.boards[0].rows if row.label == "m5") for one in (alone, fitted))
    assert before.length_controlled != after.length_controlled and after.extrapolated


@pytest.mark.parametrize(
    ("break_it", "error"),
    [
        (lambda folder: write_models(folder, 1), "annotations of 1 models; difficulties need two or more"),
        (
            lambda folder: write_json(folder / "x.json", annotations("x", 0, 0, judge="k") + annotations("y", 0, 0)),
            r"annotations with several judges \(k, j\); name one with --judge",
        ),
        (
            lambda folder: write_json(
                folder / "x.json", [*annotations("x", 0, 0), {**annotations("y", 0, 0)[1], "generator_1": "z"}]
            ),
            r"annotations with several baselines \(base, z\)",
        ),
        (
            lambda folder: write_json(folder / "x.json", [{**annotations("x", 0, 0)[1], "preference": "2"}]),
            "x.json.*field 'preference' must be a number from 1 to 2, found '2'",
        ),
        (
            lambda folder: write_json(folder / "x.json", [{**annotations("x", 0, 0)[1], "output_2": None}]),
            "x.json.*must be text",
        ),
    ],
)
def test_mistakes(
    tmp_path: Path,
    difficulties: Callable[..., tuple[int, str, str]],
    break_it: Callable[[Path], None],
    error: str,
) -> None:
    import re

    (tmp_path / "ae").mkdir()
    break_it(tmp_path / "ae")
    status, _, err = difficulties()
    assert status == 2 and re.search(error, err), err
    assert not (tmp_path / "ae" / "difficulties.json").exists()


def test_a_file_about_other_questions(tmp_path: Path) -> None:
    write_json(tmp_path / "d.json", {"slope": 1.0, "models": ["a", "b"], "difficulties": {"Do.": 0.5}})
    with pytest.raises(UserError, match="it has none of the 1 questions"):
        read_difficulties(tmp_path / "d.json", [Question("1", "all", ("Don't.",))])
    write_json(tmp_path / "d.json", [1])
    with pytest.raises(UserError, match="not a file that `camelid eval difficulties` wrote"):
        read_difficulties(tmp_path / "d.json", [Question("1", "all", ("Do.",))])
