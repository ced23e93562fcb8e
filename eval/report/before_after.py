"""Two models on question sets in one table: did the domain go up, was the rest kept?

The two are of one run each set, or of two runs over one set (`eval.report.two_runs`), question by question then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from camelid.errors import UserError, suggest_name
from camelid.files.paths import suggest_path
from camelid.files.read import read_json
from eval.numbers.boards import PLANNED_GAP
from eval.report import wording
from eval.report.headline import format_estimate
from eval.report.question_browser import QuestionBrowser
from eval.report.template import render_template
from eval.results import Board, Estimate, Results, Scale


@dataclass(frozen=True, slots=True)
class SetChange:
    """What became of one question set.

    Attributes:
        name: of the evaluation's folder.
        results: its report's numbers.
        before, after: the two scores; None where there is none.
        change: after - before, paired by question, on the scale.
    """

    name: str
    results: Results
    before: Estimate | None
    after: Estimate | None
    change: Estimate

    @property
    def scale(self) -> Scale:
        return self.results.scale

    @property
    def kept_within(self) -> float:
        """A change that would matter: a twentieth of the scale."""
        return PLANNED_GAP * (self.scale.highest - self.scale.lowest)

    @property
    def finding(self) -> str:
        """What the interval says, and no more."""
        low, high = self.change.low, self.change.high
        if low is None or high is None:
            return "one question: unknown"
        if low > 0:
            return "up"
        if high < 0:
            return "down"
        if low > -self.kept_within and high < self.kept_within:
            return f"kept, within {self.kept_within:g}"
        return "not known: no change found, but one that matters isn't excluded"


def read_changes(folders: Sequence[Path], before: str, after: str) -> list[SetChange]:
    """Read each folder's `results.json`.

    Args:
        folders: of evaluations with a report.
        before, after: the two models' labels, which every report must have.

    Raises:
        UserError: there is no report, a model isn't in it, or the two were not compared.
    """
    return [_read_change(folder, before, after) for folder in folders]


def render_changes(changes: Sequence[SetChange], before: str, after: str) -> str:
    """The table as Markdown."""
    lines = [
        f"| question set | {_cell(before)} | {_cell(after)} | change | finding |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in changes:
        cells = (one.name, format_estimate(one.before), format_estimate(one.after), format_estimate(one.change, True))
        lines.append(f"| {' | '.join(map(_cell, cells))} {one.scale.unit} | {one.finding} |")
    return "\n".join(lines) + "\n"


def render_changes_page(
    changes: Sequence[SetChange],
    before: str,
    after: str,
    browser: QuestionBrowser | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The table as a page that needs nothing else.

    Args:
        changes, before, after: the table.
        browser: the questions of two runs, below it.
        notes: what a reader must know.
    """
    return render_template(
        "before_after.html",
        changes=changes,
        before=before,
        after=after,
        browser=browser,
        notes=notes,
        words=wording,
    )


def read_results(folder: Path) -> Results:
    """A folder's `results.json`.

    Raises:
        UserError: there is none, or it is broken.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise UserError(f"{path}: no report there; run `camelid eval report` first{suggest_path(folder)}")
    return Results.from_json(read_json(path), str(path))


def set_change(name: str, results: Results, before: str, after: str) -> SetChange | None:
    """What became of one question set; None if the two were not compared.

    Args:
        name: of the set.
        results: its numbers.
        before, after: two of its models.
    """
    board = results.boards[0]
    scores = {row.label: row.score for row in board.rows}
    change = _change(results, board, before, after)
    return None if change is None else SetChange(name, results, scores[before], scores[after], change)


def _read_change(folder: Path, before: str, after: str) -> SetChange:
    results, path = read_results(folder), folder / "results.json"
    for label in (before, after):
        if label not in results.models:
            raise UserError(
                f"{path}: no model is called {label!r}{suggest_name(label, results.models)}; two runs over the same "
                "questions are compared with --questions FILE"
            )
    change = set_change(folder.resolve().name, results, before, after)
    if change is None:
        raise UserError(f"{path}: {before} and {after} are not compared there; report it with --own {after}")
    return change


def _change(results: Results, board: Board, before: str, after: str) -> Estimate | None:
    """From the paired difference, or where one of the two is the baseline, from the other's distance from even."""
    for one in board.differences:
        if {one.first, one.second} == {before, after}:
            return one.gap if one.first == after else _turned(one.gap)
    even, scores = results.scale.even, {row.label: row.score for row in board.rows}
    other = after if results.baseline == before else before
    score = scores[other]
    if even is None or score is None or results.baseline not in (before, after):
        return None
    low, high = (None if end is None else end - even for end in (score.low, score.high))
    distance = Estimate(score.mean - even, low, high, score.error, score.count, score.questions)
    return distance if other == after else _turned(distance)


def _turned(gap: Estimate) -> Estimate:
    """The other way round; 0 stays 0, without a sign."""
    low, high = (None if end is None else -end for end in (gap.high, gap.low))
    return Estimate(0 - gap.mean, low, high, gap.error, gap.count, gap.questions)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
