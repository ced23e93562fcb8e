"""An evaluation's folder: `answers/MODEL.jsonl`, `judgments/MODE/JUDGE.jsonl`, a journal beside each, the report.

`judgments/MODE/JUDGE.run.json` says what was asked and paid for.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from camelid.errors import UserError, suggest_name
from camelid.files.paths import suggest_path
from camelid.files.read import read_json
from eval.ask.answer import Answer, read_answers
from eval.ask.questions import Question
from eval.judging import canary
from eval.judging.judgments import Judgment, read_judgments, subject_hash


def file_name(name: str) -> str:
    """A model's name as a file name."""
    return re.sub(r"[^\w.@-]+", "_", name)


def answer_path(folder: Path, label: str) -> Path:
    """Where a model's answers belong.

    Raises:
        UserError: another model's are there, whose label makes the same file name.
    """
    path = folder / "answers" / f"{file_name(label)}.jsonl"
    for other in {answer.model for answer in read_answers(path)} - {label} if path.exists() else ():
        raise UserError(f"{path}: holds the answers of {other!r}; choose another --label than {label!r}")
    return path


def read_all_answers(folder: Path) -> list[Answer]:
    """Every model's answers; none if there are only published judgments."""
    return [item for path in _files(folder / "answers") for item in read_answers(path)]


def read_all_judgments(
    folder: Path, questions: Sequence[Question], answers: Sequence[Answer], mode: str | None, judges: Sequence[str]
) -> list[Judgment]:
    """The judgments of one mode, by all judges or by those named.

    Raises:
        UserError: there are none, of several modes, of none of that judge, or of other answers than those given.
    """
    modes = sorted(path.name for path in folder.glob("judgments/*/") if _files(path))
    if not modes:
        raise UserError(f"{folder / 'judgments'}: none there; run `camelid eval judge` first{suggest_path(folder)}")
    if mode is None and len(modes) > 1:
        raise UserError(f"{folder / 'judgments'}: judged in several modes ({', '.join(modes)}); choose one with --mode")
    chosen = mode or modes[0]
    if chosen not in modes:
        raise UserError(f"--mode {chosen}: not judged in that mode{suggest_name(chosen, modes)}")
    paths = {path.name.removesuffix(".jsonl"): path for path in _files(folder / "judgments" / chosen)}
    wanted = [file_name(judge) for judge in judges] or list(paths)
    for name in wanted:
        if name not in paths:
            raise UserError(f"--judge {name}: no judgments of that judge{suggest_name(name, paths)}")
    judgments = []
    authors = {answer.id: answer.model for answer in answers if answer.id}
    for name in wanted:
        own = read_judgments(paths[name], questions, authors)
        _check_subjects(paths[name], questions, answers, own)
        judgments += own
    return judgments


def _check_subjects(
    path: Path, questions: Sequence[Question], answers: Sequence[Answer], judgments: Sequence[Judgment]
) -> None:
    asked = {question.id: question for question in questions}
    said = {(answer.model, answer.question): answer.turns for answer in answers}
    stale = []
    for item in judgments:
        if item.subject and item.question in asked and canary.LABEL not in item.models:
            turns = [said.get((model, item.question), ()) for model in item.models]
            if item.subject != subject_hash(asked[item.question], turns, item.turn - 1):
                stale.append(item)
    if stale:
        first = stale[0]
        raise UserError(
            f"{path}: {len(stale)} judgments are of other answers or questions than those here (the first: question "
            f"{first.question}, {' and '.join(first.models)}); run `camelid eval judge` again, only they are paid for"
        )


def run_path(path: Path) -> Path:
    """Where the run that wrote a judgment file keeps what it asked and paid for."""
    return path.with_suffix(".run.json")


def read_costs(folder: Path, judgments: Sequence[Judgment]) -> dict[str, float | None]:
    """USD paid for each judge's judgments; judges whose price wasn't known, or who were asked elsewhere, have none."""
    costs = {}
    for mode, judge in {(item.mode, item.judge) for item in judgments}:
        path = run_path(folder / "judgments" / mode / f"{file_name(judge)}.jsonl")
        if path.is_file():
            costs[judge] = read_json(path)["cost_usd"]
    return costs


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.jsonl") if not path.name.endswith(".journal.jsonl"))
