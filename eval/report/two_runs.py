"""Two runs over the same questions, brought together as one evaluation: of one model of each, by the judges of both."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from camelid.errors import UserError, suggest_name
from eval.ask.answer import Answer
from eval.ask.questions import Question, read_questions
from eval.folder import FolderContents, read_folder, references_path
from eval.judging.judgment import Judgment
from eval.judging.modes.table import MODES
from eval.numbers.boards import ALL_PAIRS, Comparing
from eval.numbers.summarise import OFFLINE_NOTE, cut_notes, summarise
from eval.report.before_after import read_results
from eval.results import Results


@dataclass(frozen=True, slots=True)
class TwoRuns:
    """What there is to say of two runs, and to show.

    Attributes:
        name: of the question set: its file's.
        before, after: what the two models are called here: their labels, with the run where both have the same.
        results: the numbers of these two, and of the baseline if there is one.
        questions, answers, judgments: what they were made from.
        notes: what a reader must know, in sentences: what was left out, and how the judge was asked otherwise.
    """

    name: str
    before: str
    after: str
    results: Results
    questions: list[Question]
    answers: list[Answer]
    judgments: list[Judgment]
    notes: list[str]


def read_two_runs(
    question_file: str | Path, folders: Sequence[Path], before: str | None = None, after: str | None = None
) -> TwoRuns:
    """Read two evaluations of the same questions.

    Args:
        question_file: what both were asked.
        folders: of the run before and of the one after, each with a report, whose mode and judges count here.
        before, after: a model of the first and of the second; None where the run has only one beside its baseline.

    Raises:
        UserError: the two can't be compared (other modes, judges or baselines), or a model isn't in its run.
    """
    if len(folders) != 2:
        raise UserError(f"--questions: compares two runs over the same questions; {len(folders)} folders are given")
    reports = [read_results(folder) for folder in folders]
    baseline, judges = _common_ground(folders, reports)
    labels = [_label(folders[0], reports[0], before, "--before"), _label(folders[1], reports[1], after, "--after")]
    names = _names(folders, labels, baseline)
    runs = [
        _one_model(_read(folder, question_file, reports[0].mode, judges, baseline), label, name, baseline)
        for folder, label, name in zip(folders, labels, names, strict=True)
    ]
    known = {one.id: one for run in reversed(runs) for one in run.questions}
    questions = [known[one.id] for one in read_questions(question_file) if one.id in known]
    said = {(one.model, one.question): one for run in reversed(runs) for one in run.answers}
    answers = sorted(said.values(), key=lambda one: [*names, baseline].index(one.model))
    judgments = [item for run in runs for item in run.judgments]
    results = summarise("Two runs", questions, answers, judgments, baseline, comparing=Comparing(ALL_PAIRS))
    notes = [f"{called}: {note}" for called, run in zip(_called(folders), runs, strict=True) for note in run.notes]
    notes += [OFFLINE_NOTE] * ("offline" in judges) + [*cut_notes(answers), *_left_out(reports, judges)]
    notes += [*_asked_otherwise(runs), *_baseline_otherwise(runs, baseline)]
    name = Path(question_file).stem
    return TwoRuns(name, names[0], names[1], results, questions, answers, judgments, notes)


def _common_ground(folders: Sequence[Path], reports: Sequence[Results]) -> tuple[str | None, list[str]]:
    """The baseline and the judges of both runs, without which a difference says nothing."""
    (one, two), both = reports, " and ".join(map(str, folders))
    if one.mode != two.mode:
        raise UserError(f"{both}: judged in other modes ({one.mode}, {two.mode}); judge and report both in the same")
    if one.baseline != two.baseline:
        raise UserError(
            f"{both}: the baselines differ ({one.baseline}, {two.baseline}); judge with the same --baseline"
        )
    if MODES[one.mode].paired and one.baseline is None:
        raise UserError(
            f"{both}: models were compared with those of their own run only; judge both runs with the same --baseline, "
            "or in a mode that grades"
        )
    judges = [judge for judge in one.judges if judge in two.judges]
    if not judges:
        raise UserError(
            f"{both}: no judge judged both ({', '.join(one.judges)}; {', '.join(two.judges)}), so that a change may be "
            "the judge's; let the same model judge both"
        )
    return one.baseline, judges


def _label(folder: Path, report: Results, asked: str | None, option: str) -> str:
    rivals = [label for label in report.models if label != report.baseline]
    if asked is None and len(rivals) == 1:
        return rivals[0]
    if asked is None:
        raise UserError(f"{option}: {folder} has several models ({', '.join(rivals)}); name one")
    if asked not in report.models:
        raise UserError(f"{folder}: no model is called {asked!r}{suggest_name(asked, report.models)}")
    return asked


def _names(folders: Sequence[Path], labels: Sequence[str], baseline: str | None) -> list[str]:
    """The labels; where both are the same, each with its run."""
    if labels[0] != labels[1]:
        return list(labels)
    if folders[0].resolve() == folders[1].resolve():
        raise UserError(f"{folders[0]}: {labels[0]} is compared with itself; name another run or model")
    if labels[0] == baseline:
        raise UserError(f"--before, --after: {baseline} is the baseline of both runs; name the models compared with it")
    return [f"{label} ({run})" for label, run in zip(labels, _called(folders), strict=True)]


def _called(folders: Sequence[Path]) -> list[str]:
    """The runs by their folders' names, or where both are the same, by their paths as they were given."""
    names = [folder.resolve().name for folder in folders]
    return names if names[0] != names[1] else [str(folder) for folder in folders]


def _read(
    folder: Path, question_file: str | Path, mode: str, judges: Sequence[str], baseline: str | None
) -> FolderContents:
    kept = references_path(folder)
    questions = read_questions(question_file, kept if kept.is_file() else None)
    return read_folder(folder, questions, mode, judges, baseline, Path(question_file))


def _one_model(run: FolderContents, label: str, name: str, baseline: str | None) -> FolderContents:
    """What a run says of one model and its baseline, under the model's new name."""
    names = {label: name} if baseline is None else {baseline: baseline, label: name}
    answers = [replace(one, model=names[one.model]) for one in run.answers if one.model in names]
    judgments = [
        replace(item, models=tuple(names[model] for model in item.models))
        for item in run.judgments
        if names.keys() >= set(item.models)
    ]
    return replace(run, answers=answers, judgments=judgments)


def _left_out(reports: Sequence[Results], judges: Sequence[str]) -> Iterable[str]:
    alone = [judge for report in reports for judge in report.judges if judge not in judges]
    if alone:
        yield f"Judged one of the runs only, left out: {', '.join(alone)}."


def _asked_otherwise(runs: Sequence[FolderContents]) -> Iterable[str]:
    """Judges that were not asked alike in both runs, as far as the files say."""
    for judge in dict.fromkeys(item.judge for item in runs[0].judgments):
        ways = [[_way(item) for item in run.judgments if item.judge == judge] for run in runs]
        for place, what in enumerate(("instructions", "parameters", "answered as")):
            one, two = ({way[place] for way in those} - {""} for those in ways)
            if one and two and one != two:
                told = f"{', '.join(sorted(one))}; then {', '.join(sorted(two))}"
                yield f"{judge} was not the same in both runs, so that a change may be the judge's ({what}: {told})."


def _way(item: Judgment) -> tuple[str, str, str]:
    parameters = json.dumps(item.parameters, sort_keys=True) if item.parameters else ""
    return item.prompt_version, parameters, item.answered_by


def _baseline_otherwise(runs: Sequence[FolderContents], baseline: str | None) -> Iterable[str]:
    one, two = ({item.question: item.turns for item in run.answers if item.model == baseline} for run in runs)
    other = [question for question in one.keys() & two.keys() if one[question] != two[question]]
    if other:
        yield (
            f"The baseline {baseline} has other answers to {len(other):,} questions in the second run; the first run's "
            "are shown."
        )
