"""The finding of a report in one sentence, no stronger than the numbers."""

from collections.abc import Sequence

from eval.results import Board, Difference, Estimate, LeaderboardRow, Results


def headline(results: Results) -> str:
    """One sentence for the top of every page and the terminal."""
    board = results.boards[0]
    scored = [row for row in board.rows if row.score and row.label != results.baseline]
    if not scored:
        return "Nothing was judged, so there is nothing to compare."
    if not board.complete and not results.forced:
        missing, total = board.counts.expected - board.counts.judged, board.counts.expected
        return f"Incomplete, so not ranked: {missing} of {total} judgments are missing."
    return ("" if board.complete else "Incomplete: ") + _compare_models(results, board, scored)


def format_estimate(value: Estimate | None, signed: bool = False) -> str:
    """`7.31 (6.90 to 7.70)`; without an interval where one question says nothing about others."""
    if value is None:
        return "none"
    style = "+.2f" if signed else ".2f"
    if value.low is None or value.high is None:
        return f"{value.mean:{style}} (one question)"
    return f"{value.mean:{style}} ({value.low:{style}} to {value.high:{style}})"


def _compare_models(results: Results, board: Board, scored: list[LeaderboardRow]) -> str:
    if results.baseline is not None and len(scored) == 1:
        return _compare_with_baseline(results, scored[0])
    if len(scored) == 1 or not board.differences:
        return f"{scored[0].label} scores {_number(scored[0].score, results)}."
    if results.own is not None and len(board.differences) > 1:
        return _own_against_the_others(results.own, board.differences)
    return _gap(results, board.differences[0])


def _own_against_the_others(own: str, differences: Sequence[Difference]) -> str:
    """One's own model and two or more others: how many it beats, and by whom it is beaten."""
    better = [one.second for one in differences if one.settled and one.first == own]
    worse = [one.first for one in differences if one.settled and one.second == own]
    unclear = [one.second if one.first == own else one.first for one in differences if not one.settled]
    parts = [f"beats {_models(better)}"] if better else []
    parts += [f"loses to {_models(worse)}"] if worse else []
    parts += [f"cannot be told apart from {_models(unclear)}"] if unclear else []
    return f"{own} {', '.join(parts)} ({len(differences)} differences tested, corrected for that)."


def _models(labels: Sequence[str]) -> str:
    """Up to three by name, more as a number."""
    if len(labels) > 3:
        return f"{len(labels)} models"
    return " and ".join(part for part in (", ".join(labels[:-1]), labels[-1]) if part)


def _compare_with_baseline(results: Results, row: LeaderboardRow) -> str:
    """One model against the baseline."""
    assert row.score is not None and results.scale.even is not None
    even, score = results.scale.even, row.score
    number = f"{results.scale.name} {_number(score, results)}, {even:g}% would be equal"
    if score.low is not None and score.low > even:
        return f"{row.label} beats {results.baseline}: {number}."
    if score.high is not None and score.high < even:
        return f"{row.label} loses to {results.baseline}: {number}."
    return f"{row.label} and {results.baseline} cannot be told apart: {number}."


def _gap(results: Results, first: Difference) -> str:
    unit = "percentage points" if results.scale.unit == "%" else f"points {results.scale.unit}"
    interval = (
        "no interval from one question"
        if first.gap.low is None
        else (f"95% interval {first.gap.low:.2f} to {first.gap.high:.2f}, paired by question")
    )
    if first.settled:
        return f"{first.first} beats {first.second} by {first.gap.mean:.2f} {unit} ({interval})."
    if first.p_adjusted is not None and first.gap.low is not None and first.gap.low > 0:
        interval += f"; p = {first.p_adjusted:.2g} after correction for all differences"
    return (
        f"{first.first} and {first.second} cannot be told apart: the difference is {first.gap.mean:.2f} {unit} "
        f"({interval})."
    )


def _number(score: Estimate | None, results: Results) -> str:
    assert score is not None
    unit = results.scale.unit if results.scale.unit == "%" else f" {results.scale.unit}"
    interval = "" if score.low is None else f" (95% interval {score.low:.2f} to {score.high:.2f})"
    return f"{score.mean:.2f}{unit}{interval}"
