"""The charts Camelid draws, each as `.svg` (for pages) and `.png` (for whatever shows no SVG).

Backgrounds are transparent and the grey of the text has the same contrast (4.4:1) on white as on near-black,
so a chart reads well on light and dark pages alike. The same numbers give the same SVG, byte for byte.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from camelid.files.write import atomic_write, write_bytes

BLUE, ORANGE, GREY, FAINT = "#3f7fd9", "#d9772b", "#737880", "#73788033"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "camelid",  # ids inside the SVG do not depend on the moment
    "svg.fonttype": "none",  # text stays text: small, searchable, readable by a screen reader
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}
WIDTH = 7.0  # inches; at 160 dots per inch 1120 pixels
DPI = 160
LABELLED_DEGREES = 2.2  # narrower pieces of a ring have no room for their name
LABEL_CHARS = 32  # longer bar labels end in an ellipsis


def histogram(
    path: Path,
    values: Sequence[float],
    title: str,
    xlabel: str,
    ylabel: str = "count",
    bins: int = 40,
    marks: Mapping[str, float] | None = None,
) -> None:
    """Draw how often which value occurs.

    Args:
        path: where it goes; `.svg` and `.png` take the place of the suffix.
        values: the numbers, in the unit that `xlabel` names; none of them gives an empty chart that says so.
        title: what is shown.
        xlabel: what the values are, with their unit.
        ylabel: what is counted.
        bins: number of bars; whole numbers that span less get one bar each.
        marks: values to mark with a labelled line (`{"max_length": 2048}`).
    """
    with rc_context(STYLE):
        figure, axes = _axes(title, height=3.6)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        if np.ptp([*values, 0]) >= 1000:
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.grid(axis="y", color=FAINT, linewidth=0.8)
        if len(values):
            axes.hist(values, bins=_edges(values, bins), color=BLUE, rwidth=0.93)
        else:
            axes.text(0.5, 0.5, "no values", ha="center", va="center", transform=axes.transAxes)
        for row, (label, place) in enumerate(sorted((marks or {}).items(), key=lambda mark: mark[1])):
            axes.axvline(place, color=ORANGE, linewidth=1.4, linestyle="--")
            axes.annotate(
                f" {label}", (place, 0.97 - 0.08 * row), xycoords=("data", "axes fraction"), color=ORANGE, va="top"
            )
        _save(figure, path)


def bar_chart(path: Path, counts: Mapping[str, float], title: str, xlabel: str) -> None:
    """Draw one horizontal bar for each name, in the given order from the top, its value written beside it.

    Args:
        path: where it goes; `.svg` and `.png` take the place of the suffix.
        counts: name -> value, not negative.
        title: what is shown.
        xlabel: what the values are, with their unit.
    """
    with rc_context(STYLE):
        figure, axes = _axes(title, height=1.3 + 0.27 * max(len(counts), 1))
        places = range(len(counts))
        drawn = axes.barh(places, list(counts.values()), color=BLUE, height=0.72)
        axes.set_yticks(places, [_shorten(name) for name in counts])
        axes.invert_yaxis()
        axes.bar_label(
            drawn, [f"{value:,.4g}" if value % 1 else f"{value:,.0f}" for value in counts.values()], padding=4
        )
        axes.set_xlabel(xlabel)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.margins(x=0.12)
        axes.set_xlim(left=0)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=FAINT, linewidth=0.8)
        if not counts:
            axes.text(0.5, 0.5, "no values", ha="center", va="center", transform=axes.transAxes)
        _save(figure, path)


def line_chart(
    path: Path, curves: Mapping[str, Sequence[tuple[float, float]]], title: str, xlabel: str, ylabel: str
) -> None:
    """Draw curves over one axis.

    Args:
        path: where it goes; `.svg` and `.png` take the place of the suffix.
        curves: name -> points (x, y), two curves at most.
        title: what is shown.
        xlabel: what x is, with its unit.
        ylabel: what y is, with its unit.
    """
    with rc_context(STYLE):
        figure, axes = _axes(title, height=3.6)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.grid(axis="y", color=FAINT, linewidth=0.8)
        for (name, points), color in zip(curves.items(), (BLUE, ORANGE), strict=False):
            xs, ys = zip(*points, strict=True) if points else ((), ())
            axes.plot(xs, ys, color=color, linewidth=1.4, marker="o" if len(xs) < 2 else None, label=name)
        if len(curves) > 1:
            axes.legend(frameon=False)
        _save(figure, path)


def grid_chart(
    path: Path, rows: Mapping[str, Sequence[float]], columns: Sequence[str], title: str, xlabel: str, ylabel: str
) -> None:
    """Draw shares as a grid of cells, each with its value in percent, darker where it is larger.

    Args:
        path: where it goes; `.svg` and `.png` take the place of the suffix.
        rows: name -> a share, 0 to 1, for each column; from the top.
        columns: their names.
        title: what is shown.
        xlabel: what columns are, with their unit.
        ylabel: what rows are, with their unit.
    """
    with rc_context(STYLE):
        figure, axes = _axes(title, height=1.6 + 0.4 * len(rows))
        axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, len(columns)), ylim=(len(rows), 0))
        axes.set_xticks([place + 0.5 for place in range(len(columns))], columns)
        axes.set_yticks([place + 0.5 for place in range(len(rows))], list(rows))
        axes.tick_params(length=0)
        for row, shares in enumerate(rows.values()):
            for column, share in enumerate(shares):
                axes.add_patch(Rectangle((column, row), 1, 1, color=to_rgba(BLUE, 0.08 + 0.72 * share), linewidth=0))
                axes.text(column + 0.5, row + 0.5, f"{100 * share:.0f}", ha="center", va="center")
        _save(figure, path)


def sunburst(path: Path, counts: Mapping[str, Mapping[str, float]], title: str) -> None:
    """Draw two rings: groups inside, their members outside, each as wide as its value.

    Args:
        path: where it goes; `.svg` and `.png` take the place of the suffix.
        counts: group -> member -> value; a group's value is the sum of its members'.
        title: what is shown.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, WIDTH), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontweight="bold", pad=10)
        members = [(group, name, value) for group, inside in counts.items() for name, value in inside.items()]
        hues = {group: colormaps["hsv"](0.95 * index / max(len(counts), 1)) for index, group in enumerate(counts)}
        inner = [(group, sum(inside.values()), 0.72, hues[group]) for group, inside in counts.items()]
        outer = [(name, value, 0.45, hues[group]) for group, name, value in members]
        for radius, ring in ((0.68, inner), (1.0, outer)):
            if not ring:
                axes.text(0, 0, "no values", ha="center", va="center")
                break
            wedges, labels = axes.pie(
                [value for _, value, _, _ in ring],
                labels=[_shorten(name) for name, _, _, _ in ring],
                colors=[to_rgba(hue, alpha) for _, _, alpha, hue in ring],
                radius=radius,
                labeldistance=(radius - 0.17) / radius,
                rotatelabels=True,
                startangle=90,
                counterclock=False,
                wedgeprops={"width": 0.34 if radius < 1 else 0.31, "edgecolor": "white", "linewidth": 0.6},
                textprops={"fontsize": 7, "ha": "center", "va": "center", "color": "#1c1e21"},
            )[:2]
            for wedge, label in zip(wedges, labels, strict=True):
                if wedge.theta2 - wedge.theta1 < LABELLED_DEGREES:
                    label.set_text("")  # no room
        axes.set_aspect("equal")
        _save(figure, path)


def _axes(title: str, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontweight="bold", pad=10)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def _edges(values: Sequence[float], bins: int) -> Any:
    """Bin edges; whole numbers never share one bar with a fraction of the next."""
    low, high = min(values), max(values)
    if any(value % 1 for value in values):
        return np.linspace(low, high if high > low else low + 1, bins + 1)
    step = max(1, int(np.ceil((high - low + 1) / bins)))
    return np.arange(low, high + step + 1, step) - 0.5


def _shorten(name: str) -> str:
    return name if len(name) <= LABEL_CHARS else name[: LABEL_CHARS - 1] + "…"


def _save(figure: Figure, path: Path) -> None:
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    figure.savefig(png, format="png", transparent=True, dpi=DPI)
    with atomic_write(path.with_suffix(".svg")) as file:
        file.write(svg.getvalue())
    write_bytes(path.with_suffix(".png"), png.getvalue())
