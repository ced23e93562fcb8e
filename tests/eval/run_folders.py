"""Evaluations as folders with a report, written as `camelid eval` writes them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from camelid.app.cli import main
from camelid.files.write import write_jsonl
from eval.ask.answer import Answer
from eval.ask.questions import Question
from eval.judging.judgments import Judgment
from tests.eval.synthetic import Evaluation


def write_questions(path: Path, questions: Sequence[Question]) -> str:
    """The question file's path."""
    fields = ("question_id", "category", "turns", "reference")
    rows = ((one.id, one.category, list(one.turns), list(one.references)) for one in questions)
    write_jsonl(path, (dict(zip(fields, row, strict=True)) for row in rows))
    return str(path)


def in_words(judgment: Judgment) -> Judgment:
    """With a reply that says its scores (grades or a winner), as what is read again must."""
    assert judgment.scores is not None
    first = judgment.scores[0] > 0.5
    replies = {
        "single": f"{judgment.text} Rating: [[{judgment.scores[0]:g}]]",
        "pairwise": f"{judgment.text} [[{'A' if first else 'B'}]]",
        "alpaca": "m" if first else "M",
    }
    return replace(judgment, text=replies[judgment.mode])


def write_run(folder: Path, questions: str, answers: Sequence[Answer], judgments: Sequence[Judgment]) -> str:
    """The folder's path, once it has answers, judgments and a report."""
    write_jsonl(folder / "answers" / "all.jsonl", (one.to_json() for one in answers))
    for judge in dict.fromkeys(one.judge for one in judgments):
        rows = [one for one in judgments if one.judge == judge]
        write_jsonl(folder / "judgments" / rows[0].mode / f"{judge}.jsonl", (one.to_json() for one in rows))
    assert main(["eval", "report", "--questions", questions, "--output", str(folder)]) in (0, 1)
    return str(folder)


def write_comparison(folder: Path, made: Evaluation) -> Path:
    """The page of `camelid eval compare` on two runs, one of each of an evaluation's first two models."""
    questions = write_questions(folder / "questions.jsonl", made.questions)
    runs = []
    for label in made.results.models[:2]:
        models = {label, made.results.baseline}
        answers = [one for one in made.answers if one.model in models]
        judgments = [one for one in made.judgments if models >= set(one.models)]
        runs.append(write_run(folder / f"run-{label}", questions, answers, judgments))
    path = folder / "compared.html"
    assert main(["eval", "compare", *runs, "--questions", questions, "--output", str(path)]) == 0
    return path
