"""Rows of a board dropped, reversed, doubled and repeated at random: only what was dropped moves a number, all is told.

The truth is a plain count over the rows that are left, of published AlpacaEval annotations and MT-bench pairs.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.read import read_json
from eval.results import Results

Rows = list[dict[str, Any]]
QUESTIONS = 30


def alpaca_rows(rng: random.Random) -> Rows:
    """Two models against a baseline, by preference."""
    return [
        {"instruction": f"Question {n}" + " " * (n % 7 == 0), "output_1": "o", "generator_1": "base", "output_2": model,
         "generator_2": model, "annotator": "judge", "preference": rng.choice((1.0, 1.25, 1.5, 1.9, 2.0))}
        for model in ("mine", "theirs") for n in range(QUESTIONS)
    ]  # fmt: skip


def reversed_row(row: dict[str, Any]) -> dict[str, Any]:
    """The same judgment, the other answer first."""
    swapped = dict(row, preference=3 - row["preference"])
    for name in ("output", "generator"):
        swapped[f"{name}_1"], swapped[f"{name}_2"] = row[f"{name}_2"], row[f"{name}_1"]
    return swapped


def mutated(rows: Rows, rng: random.Random, share: float) -> tuple[Rows, int, int]:
    """The rows with some dropped, reversed, doubled or repeated elsewhere; how many were dropped, and repeated."""
    made, dropped, repeated = Rows(), 0, 0
    for row in rows:
        kind = rng.choice(("drop", "reverse", "double", "repeat")) if rng.random() < share else "keep"
        dropped += kind == "drop"
        repeated += kind in ("double", "repeat")
        made += {"drop": [], "reverse": [reversed_row(row)], "double": [row, row]}.get(kind, [row])
        if kind == "repeat":
            made.insert(rng.randrange(len(made)), row)
    return made, dropped, repeated


def report(folder: Path, rows: Rows) -> Results:
    folder.mkdir(parents=True, exist_ok=True)
    questions = [
        {"instruction": f"Question {n}" + " " * (n % 7 == 0), "output": "o", "generator": "base"}
        for n in range(QUESTIONS)
    ]
    (folder / "alpaca_eval.json").write_text(json.dumps(questions))
    (folder / "annotations.json").write_text(json.dumps(rows))
    main(
        [
            "eval",
            "report",
            "--questions",
            str(folder / "alpaca_eval.json"),
            "--output",
            str(folder),
            "--quiet",
            "--force",
        ]
    )
    return Results.from_json(read_json(folder / "results.json"))


def win_rate(rows: Sequence[dict[str, Any]], model: str) -> tuple[float, int]:
    """By a plain mean over the questions that have a row."""
    found: dict[str, float] = {}
    for row in rows:
        if model in (row["generator_1"], row["generator_2"]):
            won = row["preference"] - 1 if row["generator_2"] == model else 2 - row["preference"]
            found.setdefault(row["instruction"].strip(), won)
    return 100 * sum(found.values()) / len(found), len(found)


@pytest.mark.parametrize("seed", range(6))
def test_only_what_was_dropped_moves_a_number(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    rows = alpaca_rows(rng)
    changed, dropped, repeated = mutated(rows, rng, share=0.4)
    results = report(tmp_path / "changed", changed)
    [board] = results.boards
    for model in ("mine", "theirs"):
        row = next(row for row in board.rows if row.label == model)
        expected, count = win_rate(changed, model)
        assert row.score is not None and row.score.mean == pytest.approx(expected, abs=1e-9)
        assert row.counts.judged == row.score.count == count
        assert row.counts.expected == QUESTIONS and row.counts.answered == count
    assert results.baseline == "base" and board.counts.duplicate == repeated
    assert board.counts.expected - board.counts.judged == dropped and results.complete == (dropped == 0)
    notes = "\n".join(results.notes)
    assert (f"{repeated} duplicate judgments were left out" in notes) == (repeated > 0)
    assert (f"{dropped} of {2 * QUESTIONS} judgments are missing" in notes) == (dropped > 0)


def test_nothing_changed_and_everything_reversed_are_the_same(tmp_path: Path) -> None:
    rows = alpaca_rows(random.Random(0))
    plain, turned = report(tmp_path / "a", rows), report(tmp_path / "b", [reversed_row(row) for row in rows])
    for one, two in zip(plain.boards[0].rows, turned.boards[0].rows, strict=True):
        assert one.label == two.label and one.score is not None and two.score is not None
        assert one.score.mean == pytest.approx(two.score.mean, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_pairs_judged_in_both_orders(tmp_path: Path, seed: int) -> None:
    """MT-bench pairs: what lost a game lost its outcome, a doubled row is one, and a self-comparison is none."""
    rng = random.Random(seed)
    rows = [
        {"question_id": n, "model_1": "x", "model_2": "y", "g1_judgment": f"[[{one}]]", "g2_judgment": f"[[{two}]]",
         "judge": ["gpt-4", "pair-v2"], "turn": 1}
        for n, (one, two) in enumerate(rng.choices("ABC", k=2) for _ in range(QUESTIONS))
    ]  # fmt: skip
    outcomes, changed, doubled = dict[int, float](), Rows(), 0
    for row in rows:
        kind = rng.choice(("keep", "keep", "keep", "drop", "double"))
        first, second = (row[f"{game}_judgment"][2] for game in ("g1", "g2"))
        if kind != "drop":
            outcomes[row["question_id"]] = (
                1.0 if (first, second) == ("A", "B") else 0.0 if (first, second) == ("B", "A") else 0.5
            )
        doubled += 2 * (kind == "double")
        changed += [row] * {"keep": 1, "drop": 0, "double": 2}[kind]
    changed.append({**rows[0], "model_2": "x"})
    (tmp_path / "q.jsonl").write_text(
        "\n".join(json.dumps({"question_id": n, "turns": ["?"]}) for n in range(QUESTIONS))
    )
    (tmp_path / "pairs.jsonl").write_text("\n".join(json.dumps(row) for row in changed))
    main(["eval", "report", "--questions", str(tmp_path / "q.jsonl"), "--output", str(tmp_path), "--quiet", "--force"])
    results = Results.from_json(read_json(tmp_path / "results.json"))
    row = next(row for row in results.boards[0].rows if row.label == "x")
    assert row.score is not None and row.score.mean == pytest.approx(100 * sum(outcomes.values()) / len(outcomes))
    assert (row.counts.expected, row.counts.judged) == (2 * QUESTIONS, 2 * len(outcomes))
    assert results.boards[0].counts.duplicate == doubled and "x compared with itself" in "\n".join(results.notes)
