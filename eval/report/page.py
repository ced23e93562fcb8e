"""The report as one HTML file that needs nothing else: no network, no server, no other file.

The numbers are in the page as tables and drawings, readable without JavaScript. Questions, answers and verdicts are
in it as compressed data, which `data/report.js` shows one at a time. The page's Content-Security-Policy allows its
own script and style by their hashes and nothing else, so that not even a fault of ours would run what a model wrote.
"""

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from camelid.models.spend import format_dollars
from eval.ask.answer import Answer
from eval.ask.questions import Question
from eval.judging.judgment import Judgment
from eval.judging.modes.table import MODES
from eval.report import charts_svg, wording
from eval.report.headline import headline
from eval.report.question_browser import make_browser
from eval.report.template import render_template
from eval.results import Board, Difference, Results, WinMatrixCell

MANY_MODELS = 8  # so many are seen at once; more can be searched
SHOWN_SERIES = 5  # lines in the radar at first; more than a handful can't be told apart, and a click adds them


def render_page(
    results: Results, questions: Sequence[Question], answers: Sequence[Answer], judgments: Sequence[Judgment]
) -> str:
    """Render the report.

    Args:
        results: every number on the page.
        questions, answers, judgments: what they were made from, for the question browser.
    """
    return render_template(
        "report.html",
        results=results,
        headline=headline(results),
        mode=MODES[results.mode],
        places=wording.decimal_places(results.scale),
        percent_sign="%" if results.scale.unit == "%" else "",
        shown_series=SHOWN_SERIES,
        many=MANY_MODELS,
        num=wording.format_number,
        words=wording,
        charts=charts_svg,
        neighbours=adjacent_differences,
        meetings=meetings,
        only_baseline=only_baseline,
        turn_names=turn_names,
        dollars=format_dollars,
        link=question_link,
        footer="Made by camelid eval report. The same numbers are in results.json and report.md beside this file.",
        browser=make_browser(results, questions, answers, judgments),
    )


def adjacent_differences(board: Board) -> list[Difference]:
    """The differences between neighbours on the board, or all if there are few."""
    if len(board.rows) <= 4:
        return list(board.differences)
    following = {(one.label, two.label) for one, two in zip(board.rows, board.rows[1:], strict=False)}
    return [one for one in board.differences if (one.first, one.second) in following or
            (one.second, one.first) in following]  # fmt: skip


def meetings(board: Board) -> dict[tuple[str, str], WinMatrixCell]:
    """The win matrix by row and column."""
    return {(one.first, one.second): one for one in board.meetings}


def only_baseline(board: Board, baseline: str | None) -> bool:
    """Whether every model met the baseline only, so that a win matrix would be one row and one column."""
    return all(baseline in (one.first, one.second) for one in board.meetings)


def turn_names(board: Board) -> list[str]:
    """The turns that have scores; a baseline has none."""
    return [part.name for part in max((row.turns for row in board.rows), key=len, default=())]


def question_link(**parts: str) -> str:
    """An address that `data/report.js` understands: q a question, a and b the two models to compare."""
    return "#" + urlencode(parts, quote_via=quote, safe="")
