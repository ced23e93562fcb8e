"""How the page says its numbers, in plain words."""

from eval.results import Bias, Board, Canary, Difference, Estimate, Scale, WinMatrixCell

MINUS = "\N{MINUS SIGN}"


def format_number(value: float, places: int = 2, signed: bool = False) -> str:
    """A number with thousands separators and a real minus sign; no "-0.0"."""
    text = f"{value:+,.{places}f}" if signed else f"{value:,.{places}f}"
    return text.replace("-", MINUS) if any(digit in text for digit in "123456789") else f"{0:.{places}f}"


def decimal_places(scale: Scale) -> int:
    """Decimals of a score: hundredths of a grade, tenths of a percent."""
    return 1 if scale.unit == "%" else 2


def format_interval(estimate: Estimate, decimals: int = 2, signed: bool = False) -> str:
    """E.g. "6.91 to 7.42", or why there is none."""
    if estimate.low is None or estimate.high is None:
        return "one question: no interval"
    return f"{format_number(estimate.low, decimals, signed)} to {format_number(estimate.high, decimals, signed)}"


def format_p_value(value: float | None) -> str:
    """A p-value, e.g. "p = 0.03" or "p < 0.001"."""
    if value is None:
        return "no test"
    text = "p < 0.001" if value < 0.001 else f"p = {value:.2g}"
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def format_share(part: int, whole: int) -> str:
    """A share, e.g. "12 of 80 (15%)"."""
    return f"{part:,} of {whole:,} ({100 * part / whole:.0f}%)" if whole else f"{part:,} of {whole:,}"


def format_verdict(difference: Difference) -> str:
    """What a comparison settles."""
    return "settled" if difference.settled else "not settled"


def format_power(difference: Difference, decimals: int) -> str:
    """What the questions at hand can show, and how many a planned gap would take; empty if it isn't known."""
    if difference.settled or not difference.detectable or not round(difference.detectable, decimals):
        return ""
    gap = format_number(difference.detectable, decimals)
    found = f"these {difference.gap.questions:,} find a gap of {gap} in 4 of 5 cases"
    if difference.needed is None or not difference.planned:
        return found
    return f"{found}; one of {difference.planned:g} would take about {difference.needed:,} questions"


def format_cell(found: WinMatrixCell) -> str:
    """What is behind one cell of the win matrix."""
    changed = f" (of these {found.contradictions:,} because the judge contradicted itself)"
    return (
        f"{found.first} against {found.second}: won {found.wins:,}, tied {found.ties:,}"
        f"{changed if found.contradictions else ''}, lost {found.losses:,}; "
        f"95% interval {format_interval(found.win_rate, 0)}%"
    )


def format_bias(found: Bias) -> str:
    """The size of a measured bias."""
    assert found.size is not None
    size = f"{format_number(found.size.mean, 1, signed=True)} {found.unit}"
    if found.size.low is None:
        return f"{size}."
    return f"{size} (95% interval {format_interval(found.size, 1, signed=True)}; {format_p_value(found.p)})."


def format_finding(detected: bool | None) -> str:
    """What was found of a bias, in two words."""
    return "not measured" if detected is None else "bias found" if detected else "none found"


def format_canary(found: Canary, scale: Scale) -> str:
    """How a constant answer did, in one sentence; what could not be measured is no all-clear."""
    if found.score is None:
        return (
            f"Not measured: asked {found.counts.expected:,} times, but no verdict could be read "
            f"({found.counts.unparsed:,} replies without one, {found.counts.failed:,} failures)."
        )
    range_text = (
        "" if found.score.low is None else f" (95% interval {format_interval(found.score, decimal_places(scale))})"
    )
    score = f"{format_number(found.score.mean, decimal_places(scale))} {scale.unit}".replace(" %", "%")
    ends = {
        True: "This judge can be gamed: a text without content scores well.",
        False: "A text without content gets it nowhere.",
        None: "One question can't say whether this judge can be gamed.",
    }
    end = ends[found.gamed]
    if unread := found.counts.expected - found.counts.judged:
        end += f" {unread:,} of {found.counts.expected:,} verdicts on it could not be read."
    return f"One text as the answer to every question: {score}{range_text}. {end}"


def measure_names(board: Board) -> list[str]:
    """The further figures that a board has, for its heading."""
    return list(dict.fromkeys(part.name for row in board.rows for part in row.measures))
