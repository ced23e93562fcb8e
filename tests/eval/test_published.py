"""The published numbers of Vicuna, MT-bench and AlpacaEval 2 come out, from the published files."""

import csv
import gzip
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from camelid.app.cli import main
from eval.ask.answer import read_answers
from eval.ask.questions import Question, read_questions
from eval.judging.judgments import Judgment, alpaca_eval_shares, read_judgments
from eval.numbers.difficulties import fit_difficulties
from eval.numbers.length_control import FEW_NEAR, Comparison, length_controlled
from eval.numbers.summarise import summarise
from eval.results import LeaderboardRow, Results

REAL = Path(os.environ.get("CAMELID_REAL_DATA", "/nowhere"))
pytestmark = pytest.mark.skipif("CAMELID_REAL_DATA" not in os.environ, reason="CAMELID_REAL_DATA is not set")

# lm-sys/FastChat, the first Vicuna blog post: sums of the other model's scores and of Vicuna's.
SUMS = {
    "llama-13b": (513.0, 694.0),
    "alpaca-13b": (583.0, 704.0),
    "bard": (664.0, 655.5),
    "gpt35": (693.0, 638.0),
}
# In two reviews the stored second score is 2, though the judge wrote "Assistant 2: 4".
MISTYPED = {("llama-13b", "70"), ("bard", "70")}


def vicuna(other: str, judgments: list[Judgment]) -> LeaderboardRow:
    questions = read_questions(REAL / "vicuna80" / "question.jsonl")
    [board] = summarise("", questions, [], judgments, baseline=other).boards
    return next(row for row in board.rows if row.label == "vicuna-13b")


@pytest.mark.parametrize("other", SUMS)
def test_vicuna_sums(other: str) -> None:
    path = REAL / "vicuna80" / "review" / f"review_{other}_vicuna-13b.jsonl"
    read = read_judgments(path)
    stored = [tuple(float(value) for value in json.loads(line)["score"]) for line in path.read_text().splitlines()]
    different = {(other, one.question) for one, scores in zip(read, stored, strict=True) if one.scores != scores}
    assert different == {key for key in MISTYPED if key[0] == other}
    row = vicuna(other, [replace(one, scores=scores) for one, scores in zip(read, stored, strict=True)])
    assert row.sums == SUMS[other][::-1] and row.counts.complete
    again = vicuna(other, read).sums
    assert again == (SUMS[other][1] + 2 * bool(different), SUMS[other][0])


def test_vicuna_is_92_percent_of_chatgpt() -> None:
    row = vicuna("gpt35", read_judgments(REAL / "vicuna80" / "review" / "review_gpt35_vicuna-13b.jsonl"))
    assert row.score is not None and round(row.score.mean, 2) == 92.06


def test_two_vicuna_runs_differ_by_the_published_sums(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Alpaca's and ChatGPT's files in a folder each: between them is what FastChat's sums say."""
    source = REAL / "vicuna80"
    questions = str(source / "question.jsonl")
    for name in ("alpaca-13b", "gpt35"):
        (tmp_path / name).mkdir()
        for file in (f"answer/answer_{name}", "answer/answer_vicuna-13b", f"review/review_{name}_vicuna-13b"):
            shutil.copy(source / f"{file}.jsonl", tmp_path / name)
        base = ("--baseline", "vicuna-13b:20230322-clean-lang")
        assert main(["eval", "report", "--questions", questions, "--output", str(tmp_path / name), *base]) == 0
    capsys.readouterr()
    runs = [str(tmp_path / name) for name in ("alpaca-13b", "gpt35")]
    assert main(["eval", "compare", *runs, "--questions", questions]) == 0
    before, after = (100 * mine / vicunas for mine, vicunas in (SUMS["alpaca-13b"], SUMS["gpt35"]))
    told = capsys.readouterr().out
    assert f"| {before:.2f} (" in told and f"| {after:.2f} (" in told and f"| {after - before:+.2f} (" in told


def test_vicuna_answers_load() -> None:
    for name in ("alpaca-13b", "gpt35", "vicuna-13b"):
        answers = read_answers(REAL / "vicuna80" / "answer" / f"answer_{name}.jsonl")
        assert len(answers) == 80 and all(len(answer.turns) == 1 for answer in answers)


def test_mt_bench_file() -> None:
    path = REAL / "mt_bench" / "phi3dpo_gpt4_single.jsonl"
    stored = [json.loads(line)["score"] for line in path.read_text().splitlines()]
    judgments = read_judgments(path)
    assert [judgment.scores for judgment in judgments] == [(score,) for score in stored]
    [row] = summarise("", read_questions(REAL / "mt_bench" / "question.jsonl"), [], judgments).boards[0].rows
    assert row.score is not None and row.score.mean == pytest.approx(8.2, abs=1e-12)
    assert [part.name for part in row.turns] == ["1", "2"] and row.counts.judged == 160


def alpaca_eval() -> tuple[list[dict[str, str]], dict[str, dict[str, Any]]]:
    with gzip.open(REAL / "alpaca_eval" / "ae2_rows.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    with (REAL / "alpaca_eval" / "ae2_leaderboard.csv").open() as file:
        return rows, {row[""]: row for row in csv.DictReader(file)}


def test_alpaca_eval_leaderboard() -> None:
    """20 of 20 models: win rate and standard error to 1e-9, every count exact."""
    rows, leaderboard = alpaca_eval()
    judgments = [
        Judgment(
            "alpaca",
            row["idx"],
            1,
            ("baseline", row["model"]),
            "gpt-4",
            alpaca_eval_shares(float(row["preference"] or "nan")),
            "",
            baseline="baseline",
        )
        for row in rows
    ]
    questions = [Question(str(index), "all", ("?",)) for index in range(805)]
    [board] = summarise("", questions, [], judgments).boards
    found = {row.label: row for row in board.rows if row.label != "baseline"}
    assert set(found) == set(leaderboard) and len(found) == 20
    for label, published in leaderboard.items():
        row = found[label]
        assert row.score is not None and row.score.error is not None
        assert row.score.mean == pytest.approx(float(published["win_rate"]), abs=1e-9)
        assert row.score.error == pytest.approx(float(published["standard_error"]), abs=1e-9)
        counts = (row.wins, row.losses, row.ties, row.counts.judged)
        assert counts == tuple(int(published[name]) for name in ("n_wins", "n_wins_base", "n_draws", "n_total"))
    assert not board.complete  # three models lack a verdict or two, which the published table does not say


def length_rows() -> list[Comparison]:
    return [
        Comparison(row["model"], row["idx"], 1, float(row["preference"]) - 1, float(row["len_2"]), float(row["len_1"]))
        for row in alpaca_eval()[0]
        if row["preference"]
    ]


def published_length_controlled() -> dict[str, float]:
    return {name: float(row["length_controlled_winrate"]) for name, row in alpaca_eval()[1].items()}


def test_length_controlled_win_rates_left_one_out() -> None:
    """Each model with difficulties from the 19 others, as who reports one new model has them."""
    rows, published = length_rows(), published_length_controlled()
    found = []
    for left_out, theirs in published.items():
        known = fit_difficulties([row for row in rows if row.model != left_out])
        ours = length_controlled([row for row in rows if row.model == left_out], known)[left_out]
        found.append((ours.mean, theirs))
    ours, theirs = np.array(found).T
    errors = np.abs(ours - theirs)
    assert errors.mean() < 1.0 and errors.max() < 4.0
    assert stats.spearmanr(ours, theirs).statistic >= 0.95


def test_length_controlled_win_rates_from_half_of_the_models() -> None:
    """Difficulties of ten models, tested on the other ten: four splits, drawn beforehand."""
    rows, published = length_rows(), published_length_controlled()
    errors, rng = [], np.random.default_rng(0)
    for _ in range(4):
        half = set(rng.permutation(list(published))[:10])
        known = fit_difficulties([row for row in rows if row.model in half])
        ours = length_controlled([row for row in rows if row.model not in half], known)
        errors += [abs(value.mean - published[name]) for name, value in ours.items()]
    assert np.mean(errors) < 1.5 and max(errors) < 5.0


def test_single_model_estimates_of_length_controlled_win_rates() -> None:
    """Without difficulties: further off, and the farthest are those that the report warns of."""
    rows, published = length_rows(), published_length_controlled()
    ours = length_controlled(rows)
    errors = {name: abs(ours[name].mean - theirs) for name, theirs in published.items()}
    near = {name: np.mean([row.near for row in rows if row.model == name]) for name in published}
    assert np.mean(list(errors.values())) < 1.5 and max(errors.values()) < 5.0
    farthest = sorted(errors, key=lambda name: -errors[name])[:2]
    assert all(near[name] < FEW_NEAR for name in farthest)


def test_vicuna_published_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The published answers and reviews, put where `camelid eval report` looks: labels come from the answers."""
    answers, reviews = tmp_path / "answers", tmp_path / "judgments" / "vicuna"
    for folder, name in (
        (answers, "answer/answer_gpt35.jsonl"),
        (answers, "answer/answer_vicuna-13b.jsonl"),
        (reviews, "review/review_gpt35_vicuna-13b.jsonl"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / Path(name).name).write_bytes((REAL / "vicuna80" / name).read_bytes())
    questions = ["--questions", str(REAL / "vicuna80" / "question.jsonl"), "--output", str(tmp_path)]
    assert main(["eval", "report", *questions, "--baseline", "gpt-3.5-turbo:20230327"]) == 0
    said = capsys.readouterr().out
    assert "vicuna-13b:20230322-clean-lang loses to gpt-3.5-turbo:20230327: relative score 92.06%" in said


def report_as_is(tmp_path: Path, name: str, questions: str, *more: str) -> tuple[int, Results]:
    """A published folder copied as it is, and one command."""
    folder = tmp_path / name
    shutil.copytree(REAL / name, folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    asked = ["--questions", str(folder / questions), "--output", str(folder), "--quiet", *more]
    status = main(["eval", "report", *asked])
    return status, Results.from_json(json.loads((folder / "results.json").read_text()))


def test_from_vicunas_folder_to_92_percent_is_one_command(tmp_path: Path) -> None:
    """Four pairs in one folder, of which --baseline takes those it is in; the other answers go with theirs."""
    status, results = report_as_is(tmp_path, "vicuna80", "question.jsonl", "--baseline", "gpt-3.5-turbo:20230327")
    [board] = results.boards
    assert status == 0 and {row.label for row in board.rows} == {
        "gpt-3.5-turbo:20230327",
        "vicuna-13b:20230322-clean-lang",
    }
    score = board.rows[-1].score
    assert score is not None and round(score.mean, 2) == 92.06
    assert any("240 judgments of pairs without gpt-3.5-turbo:20230327: left out" in note for note in results.notes)


def test_vicunas_mistyped_scores_are_told(tmp_path: Path) -> None:
    _, results = report_as_is(tmp_path, "vicuna80", "question.jsonl", "--baseline", "vicuna-13b:20230322-clean-lang")
    [note] = [note for note in results.notes if "stored score" in note]
    assert note.startswith(f"{len(MISTYPED)} stored scores") and note.count("question 70") == len(MISTYPED)


def test_mt_bench_folder_as_it_is(tmp_path: Path) -> None:
    status, results = report_as_is(
        tmp_path, "mt_bench", "question.jsonl", "--references", str(REAL / "mt_bench" / "reference_gpt-4.jsonl")
    )
    [row] = results.boards[0].rows
    assert status == 0 and row.score is not None and row.score.mean == pytest.approx(8.2, abs=1e-12)
    assert row.words is not None and row.words > 50  # the prompts carry the answers
    assert not any("stored score" in note for note in results.notes)


def test_alpaca_eval_annotations_through_their_reader(tmp_path: Path) -> None:
    """The published rows in the shape of annotations.json, a folder a model; five instructions end in a blank."""
    rows, leaderboard = alpaca_eval()
    texts = [f"Instruction {number}{' ' * (number % 161 == 7)}" for number in range(805)]
    questions = [{"instruction": text, "output": "", "generator": "baseline", "dataset": "d"} for text in texts]
    (tmp_path / "alpaca_eval.json").write_text(json.dumps(questions))
    for label in leaderboard:
        made = [
            {
                "instruction": texts[int(row["idx"])],
                "output_1": "x" * int(float(row["len_1"])),
                "output_2": "y" * int(float(row["len_2"])),
                "generator_1": "baseline",
                "generator_2": label,
                "annotator": "weighted_alpaca_eval_gpt4_turbo",
                "preference": float(row["preference"] or "nan"),
            }
            for row in rows
            if row["model"] == label
        ]
        (tmp_path / "results" / label).mkdir(parents=True)
        (tmp_path / "results" / label / "annotations.json").write_text(json.dumps(made))
    questions_file = str(tmp_path / "alpaca_eval.json")
    assert main(["eval", "report", "--questions", questions_file, "--output", str(tmp_path), "--quiet", "--force"]) == 1
    results = Results.from_json(json.loads((tmp_path / "results.json").read_text()))
    found = {row.label: row for row in results.boards[0].rows if row.label != "baseline"}
    assert set(found) == set(leaderboard)
    for label, published in leaderboard.items():
        row = found[label]
        assert row.score is not None and row.score.mean == pytest.approx(float(published["win_rate"]), abs=1e-9)
        assert row.characters == pytest.approx(
            np.mean([float(one["len_2"]) for one in rows if one["model"] == label]), abs=1.0
        )
