"""An evaluation's folder: ours, or a published one as it is.

Ours holds `answers/MODEL.jsonl`, `judgments/MODE/JUDGE.jsonl` (a journal beside each, and `JUDGE.run.json`: what was
asked and paid for), the references that the judge saw, and the report. In a published folder every JSON file that holds
answers or judgments is read, wherever it lies; what else there is, is named.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from camelid.errors import UserError, suggest_name
from camelid.files.paths import suggest_path
from camelid.files.read import Record, read_json
from camelid.files.write import write_jsonl
from conversations.questions.records import read_file_records
from eval.ask.answer import Answer, answer_format, read_answers
from eval.ask.questions import Question
from eval.judging import canary
from eval.judging.formats.ours import OURS
from eval.judging.judgments import Judgment, judgment_format, read_judgments, subject_hash
from eval.judging.usable import (
    asked_answers,
    judged_answers,
    present_judgments,
    reread_differently,
    with_baseline,
    without_self_pairs,
)

OWN_ANSWERS = "Camelid's answers"
READ = (".json", ".jsonl", ".eval", ".json.gz", ".jsonl.gz")
OTHER = ("results.json", "difficulties.json")  # ours, and what ends in these
OTHER_ENDS = (".run.json", ".journal.jsonl", ".ledger.json")


@dataclass(frozen=True, slots=True)
class EvaluationFile:
    """A file with answers or judgments.

    Attributes:
        path: where it is.
        holds: "answers" or "judgments".
        called: its format, as a report calls it.
    """

    path: Path
    holds: str
    called: str


@dataclass(frozen=True, slots=True)
class FolderContents:
    """What a report is made of.

    Attributes:
        questions: those that were asked; without those that only other pairs than the baseline's were asked.
        answers: to these questions, one by each model; those that judgments carry are among them.
        judgments: of one mode, of these answers.
        notes: what was read, and what was left out and why, in sentences.
    """

    questions: list[Question]
    answers: list[Answer]
    judgments: list[Judgment]
    notes: list[str]


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


def references_path(folder: Path) -> Path:
    """Where the references that a judge saw are kept for the report, in MT-bench's format."""
    return folder / "references.jsonl"


def keep_references(folder: Path, questions: Sequence[Question]) -> None:
    """Keep the references that a judge sees, so that the report need not be told of them."""
    known = (question for question in questions if question.references)
    write_jsonl(
        references_path(folder),
        ({"question_id": one.id, "choices": [{"index": 0, "turns": list(one.references)}]} for one in known),
    )


def run_path(path: Path) -> Path:
    """Where the run that wrote a judgment file keeps what it asked and paid for."""
    return path.with_suffix(".run.json")


def read_folder(
    folder: Path,
    questions: Sequence[Question],
    mode: str | None,
    judges: Sequence[str],
    baseline: str | None,
    question_file: Path,
) -> FolderContents:
    """Everything that counts in a folder, and what doesn't in words.

    Args:
        folder: ours or a published one.
        questions: the set it belongs to.
        mode: which judgments; None if there are of one mode only.
        judges: whose judgments; empty for all.
        baseline: only pairs with this model; None takes all.
        question_file: where the questions are from, which is neither an answer nor a judgment.

    Raises:
        UserError: a file is broken, or there are no such judgments, or ours are of other answers than those here.
    """
    files, unread = find_files(folder, question_file)
    notes = [_took(files)] if any(file.called not in (OURS.called, OWN_ANSWERS) for file in files) else []
    notes += [f"Not read, for it holds no answer or judgment in a known format: {', '.join(unread)}."] if unread else []
    said = [item for file in files if file.holds == "answers" for item in read_answers(file.path, questions)]
    judgments = _choose(folder, files, questions, said, mode, judges)
    answers, more = asked_answers(questions, said)
    notes += more
    _check_subjects(folder, questions, answers, judgments)
    judgments, more = without_self_pairs(judgments)
    notes += more
    judgments, more = present_judgments(judgments, answers)
    notes += more
    kept, answers, more = with_baseline(judgments, answers, baseline)
    others = {item.question for item in judgments} - {item.question for item in kept}
    if others:
        more.append(f"Questions that were put to other pairs only: {len(others):,}, left out.")
        answers = [answer for answer in answers if answer.question not in others]
    notes += [*more, *reread_differently(kept)]
    answers += judged_answers(kept, answers)
    return FolderContents([one for one in questions if one.id not in others], answers, kept, notes)


def read_all_answers(
    folder: Path, questions: Sequence[Question] = (), question_file: Path | None = None
) -> list[Answer]:
    """Every answer in the folder's files; none if there are only published judgments."""
    files, _ = find_files(folder, question_file)
    return [item for file in files if file.holds == "answers" for item in read_answers(file.path, questions)]


def read_all_judgments(
    folder: Path, questions: Sequence[Question], answers: Sequence[Answer], mode: str | None, judges: Sequence[str]
) -> list[Judgment]:
    """The judgments of one mode, by all judges or by those named.

    Raises:
        UserError: there are none, of several modes, of none of that judge, or of other answers than those given.
    """
    judgments = _choose(folder, find_files(folder)[0], questions, answers, mode, judges)
    _check_subjects(folder, questions, answers, judgments)
    return judgments


def read_costs(folder: Path, judgments: Sequence[Judgment]) -> dict[str, float | None]:
    """USD paid for each judge's judgments; judges whose price wasn't known, or who were asked elsewhere, have none."""
    costs = {}
    for mode, judge in {(item.mode, item.judge) for item in judgments}:
        path = run_path(folder / "judgments" / mode / f"{file_name(judge)}.jsonl")
        if path.is_file():
            costs[judge] = read_json(path)["cost_usd"]
    return costs


def read_earlier_tokens(folder: Path, judgments: Sequence[Judgment]) -> dict[str, int]:
    """Tokens that all runs of a judge were billed for, beyond these judgments; equal prompts are paid for once."""
    earlier = {}
    for mode, judge in {(item.mode, item.judge) for item in judgments}:
        path = run_path(folder / "judgments" / mode / f"{file_name(judge)}.jsonl")
        if path.is_file():
            own = [item for item in judgments if item.judge == judge]
            asked = {(item.prompt or place, item.repeat): sum(item.tokens) for place, item in enumerate(own)}
            run = read_json(path)
            earlier[judge] = max(0, run["prompt_tokens"] + run["completion_tokens"] - sum(asked.values()))
    return earlier


def find_files(folder: Path, question_file: Path | None = None) -> tuple[list[EvaluationFile], list[str]]:
    """The files with answers or judgments, and the names of JSON files that hold neither.

    A folder inside that is an evaluation of its own is left alone.

    Raises:
        UserError: a file in `answers/` or `judgments/`, where ours are, is broken.
    """
    found, unread = list[EvaluationFile](), list[str]()
    for path in _candidates(folder):
        name = str(path.relative_to(folder))
        if any(part.startswith("reference") for part in Path(name).parts):
            continue  # MT-bench's reference_answer/gpt-4.jsonl has an answer's shape; --references names it
        file = _recognise(path, strict=name.startswith(("answers/", "judgments/")))
        asked = question_file is not None and question_file.exists() and path.samefile(question_file)
        if asked and (file is None or file.holds == "answers"):
            continue  # votes and logs bring their questions along, and are both
        if file is None:
            unread.append(name)
        else:
            found.append(file)
    return found, unread


def _candidates(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            its_own = path.is_symlink() or (path / "judgments").is_dir() or (path / "results.json").is_file()
            yield from () if its_own else _candidates(path)
        elif path.name.endswith(READ) and path.name not in OTHER and not path.name.endswith(OTHER_ENDS):
            yield path


def _recognise(path: Path, strict: bool) -> EvaluationFile | None:
    """What a file holds, by its first record; what is in our own folders must be one of the two."""
    try:
        record: Record | None = next((record for _, record in read_file_records(path)), None)
    except UserError:
        if strict:
            raise
        return None
    if record is not None:
        judged = judgment_format(record)
        if judged is not None:
            return EvaluationFile(path, "judgments", judged.called)
        answered = answer_format(record)
        if answered is not None:
            return EvaluationFile(path, "answers", answered)
    if not strict or record is None:
        return None
    return EvaluationFile(path, "answers" if path.parent.name == "answers" else "judgments", "")  # an error names it


def _took(files: Sequence[EvaluationFile]) -> str:
    kinds = dict.fromkeys(file.called for file in files)
    counts = {kind: [file.path.name for file in files if file.called == kind] for kind in kinds}
    named = (f"{kind} ({names[0] if len(names) == 1 else f'{len(names)} files'})" for kind, names in counts.items())
    return f"Read: {', '.join(named)}."


def _choose(
    folder: Path,
    files: Sequence[EvaluationFile],
    questions: Sequence[Question],
    answers: Sequence[Answer],
    mode: str | None,
    judges: Sequence[str],
) -> list[Judgment]:
    authors = {answer.id: answer.model for answer in answers if answer.id}
    found = [
        (file.path.name.split(".json")[0], item)
        for file in files
        if file.holds == "judgments"
        for item in read_judgments(file.path, questions, authors)
    ]
    if not found:
        raise UserError(f"{folder / 'judgments'}: none there; run `camelid eval judge` first{suggest_path(folder)}")
    modes = sorted({item.mode for _, item in found})
    if mode is None and len(modes) > 1:
        raise UserError(f"{folder / 'judgments'}: judged in several modes ({', '.join(modes)}); choose one with --mode")
    chosen = mode or modes[0]
    if chosen not in modes:
        raise UserError(f"--mode {chosen}: not judged in that mode{suggest_name(chosen, modes)}")
    found = [(name, item) for name, item in found if item.mode == chosen]
    known = dict.fromkeys(name for file, item in found for name in (item.judge, file))
    for judge in judges:
        if judge not in known and file_name(judge) not in known:
            raise UserError(f"--judge {judge}: no judgments of that judge{suggest_name(judge, known)}")
    wanted = {name for judge in judges for name in (judge, file_name(judge))}
    return [item for name, item in found if not judges or wanted & {item.judge, name}]


def _check_subjects(
    folder: Path, questions: Sequence[Question], answers: Sequence[Answer], judgments: Sequence[Judgment]
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
        path = folder / "judgments" / first.mode / f"{file_name(first.judge)}.jsonl"
        raise UserError(
            f"{path}: {len(stale)} judgments are of other answers or questions than those here (the first: "
            f"question {first.question}, {' and '.join(first.models)}); run `camelid eval judge` again, only they are "
            "paid for"
        )
