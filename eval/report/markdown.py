"""The tables of a report as a Markdown page."""

import re
from collections.abc import Iterable, Sequence

from camelid.models.spend import format_dollars
from eval.judging.modes.table import MODES
from eval.report.headline import format_estimate, headline
from eval.report.wording import format_canary, format_finding, measure_names
from eval.results import Bias, Board, JudgeAudit, Results, Scale


def render_markdown(results: Results) -> str:
    """Render `report.md`."""
    judges = ", ".join(results.judges)
    parts = [f"# {_cell(results.title)}", _cell(headline(results))]
    parts += [f"> {_cell(note)}" for note in results.notes]
    counts = results.boards[0].counts
    parts.append(
        f"{results.questions:,} questions, {len(results.models)} models, {counts.judged:,} of {counts.expected:,} "
        f"judgments. Mode: {results.mode}. Judge: {judges}. Score: {results.scale.name} {results.scale.unit}, with its "
        "95% interval."
    )
    for board in results.boards:
        heading = f" by {board.judge}" if len(results.boards) > 1 else ""
        parts += [f"## Scores{heading}", _leaderboard(results, board), _denominators(board)]
        if board.style:
            parts += [f"### What style is worth{heading}", _style(board)]
        if board.differences:
            parts += [f"### Differences{heading}", _differences(board)]
    parts += ["## By category", _parts(results, "categories", results.categories)]
    turns = [part.name for part in max((row.turns for row in results.boards[0].rows), key=len, default=())]
    parts += ["## By turn", _parts(results, "turns", turns)] if len(turns) > 1 else []
    parts += ["## Win rates", _matrix(results.boards[0])] if results.boards[0].meetings else []
    parts += ["## The judge", *(_audit(audit, results.scale) for audit in results.audits)]
    if results.agreements:
        parts += ["## Agreement of the judges", _agreements(results)]
    parts += ["## Answers that speak to the judge", _flags(results)] if results.flags else []
    parts += ["## Cost", _costs(results)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    """A label or an excerpt cannot end its cell or its row, makes no link and no emphasis, and is no HTML."""
    return re.sub(r"([\\|*]|(?<=\])\()", r"\\\1", str(value)).replace("\n", " ").replace("<", "&lt;")


def _leaderboard(results: Results, board: Board) -> str:
    mode = MODES[results.mode]
    head = ["rank", "model", results.scale.name]
    controlled = any(row.length_controlled for row in board.rows)
    rated = any(row.rating for row in board.rows)
    head += ["at equal length" + (" (single-model estimate)" if results.single_model else "")] if controlled else []
    head += ["rating"] if rated else []
    head += ["rating at equal style"] if board.style else []
    head += ["wins", "ties", "losses"] if mode.paired else []
    head += ["sums"] if mode.sums else []
    measures = measure_names(board)
    head += measures
    rows = []
    for row in board.rows:
        line: list[object] = [row.rank or "", row.label]
        line.append("baseline" if row.label == results.baseline else format_estimate(row.score))
        line += [format_estimate(row.length_controlled) if row.length_controlled else ""] if controlled else []
        line += [format_estimate(row.rating)] if rated else []
        line += [format_estimate(row.style_controlled)] if board.style else []
        line += [row.wins, row.ties, row.losses] if mode.paired else []
        line += [" / ".join(f"{value:g}" for value in row.sums)] if mode.sums else []
        known = {part.name: part.score for part in row.measures}
        line += [format_estimate(known.get(name)) for name in measures]
        rows.append(line)
    return _table(head, rows)


def _denominators(board: Board) -> str:
    names = ("expected", "answered", "judged", "failed", "unparsed", "unasked", "duplicate")
    rows: list[list[object]] = [
        [
            row.label,
            *(getattr(row.counts, name) for name in names),
            row.cut,
            row.flagged,
            "unknown" if row.words is None else f"{row.words:.0f}",
        ]
        for row in board.rows
    ]
    total = [getattr(board.counts, name) for name in names]
    rows.append(["total", *total, sum(row.cut for row in board.rows), sum(row.flagged for row in board.rows), ""])
    return _table(["model", *names, "cut off", "flagged", "words"], rows)


def _style(board: Board) -> str:
    head = ["trait", "points of rating, all of it against none"]
    return _table(head, ([effect.name, format_estimate(effect.points, signed=True)] for effect in board.style))


def _differences(board: Board) -> str:
    head = [
        "models",
        "difference",
        "p",
        "p (Holm)",
        "settled",
        "questions",
        "gap found in 4 of 5",
        "questions for a planned gap",
    ]
    return _table(
        head,
        (
            [
                f"{one.first} - {one.second}",
                format_estimate(one.gap, signed=True),
                _p(one.p),
                _p(one.p_adjusted),
                "yes" if one.settled else "no",
                one.gap.questions,
                "" if one.detectable is None else f"{one.detectable:.2f}",
                "" if one.needed is None else f"{one.needed} for {one.planned:g}",
            ]
            for one in board.differences
        ),
    )


def _parts(results: Results, field: str, names: Sequence[str]) -> str:
    """The scores by category or by turn."""
    rows = []
    for row in results.boards[0].rows:
        found = {part.name: format_estimate(part.score) for part in getattr(row, field)}
        rows.append([row.label, *(found.get(name, "") for name in names)])
    return _table(["model", *names], rows)


def _matrix(board: Board) -> str:
    """Rows against columns; where all met one baseline only, one column."""
    cells = {(one.first, one.second): f"{one.win_rate.mean:.1f}%" for one in board.meetings}
    rows = columns = [row.label for row in board.rows]
    for label in columns:
        if len(columns) > 2 and all(label in pair for pair in cells):
            rows, columns = [other for other in rows if other != label], [label]
            break
    return _table(
        ["row beats column", *columns], ([one, *(cells.get((one, two), "") for two in columns)] for one in rows)
    )


def _audit(audit: JudgeAudit, scale: Scale) -> str:
    lines = [f"### {audit.judge}", ""]
    for name, bias in (("Position", audit.position), ("Length", audit.length), ("Itself", audit.self_preference)):
        lines.append(f"- {name}: {_bias(bias)}")
    if audit.both_orders:
        lines.append(f"- Contradictions between the two orders: {audit.contradictions} of {audit.both_orders} pairs.")
    if audit.repeats:
        one = audit.repeats
        lines.append(f"- Asked again: {one.same} of {one.asked} verdicts the same, mean change {one.mean_change:.2f}.")
    if audit.canary:
        lines.append(f"- Constant answer: {format_canary(audit.canary, scale)}")
    return "\n".join(lines)


def _bias(bias: Bias) -> str:
    found = format_finding(bias.detected)
    if bias.size is None:
        return f"{found}. {bias.note}"
    return f"{format_estimate(bias.size, signed=True)} {bias.unit}, p {_p(bias.p)}: {found}. {bias.note}"


def _agreements(results: Results) -> str:
    head = ["judges", "judged by both", "same", "kappa", "quadratic kappa", "tau-b", "Pearson", "tau-b of ranking"]
    rows = (
        [
            f"{one.first}, {one.second}",
            one.count,
            f"{100 * one.same:.1f}%",
            *(_statistic(value) for value in (one.kappa, one.weighted_kappa, one.tau, one.pearson, one.ranking_tau)),
        ]
        for one in results.agreements
    )
    return f"{_table(head, rows)}\n\nKrippendorff's alpha of all judges: {_statistic(results.alpha)}."


def _flags(results: Results) -> str:
    head = ["model", "question", "turn", "it", "where it says"]
    return _table(head, ([one.model, one.question, one.turn, one.reason, one.excerpt] for one in results.flags))


def _costs(results: Results) -> str:
    head = ["judge", "answered as", "replies", "prompt tokens", "completion tokens", "tokens of earlier runs", "paid"]
    return _table(
        head,
        (
            [
                one.judge,
                ", ".join(one.answered_by),
                one.requests,
                one.prompt_tokens,
                one.completion_tokens,
                one.earlier_tokens,
                "unknown" if one.dollars is None else format_dollars(one.dollars),
            ]
            for one in results.costs
        ),
    )


def _statistic(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _p(value: float | None) -> str:
    return "unknown" if value is None else "<0.0001" if value < 0.0001 else f"{value:.4f}"
