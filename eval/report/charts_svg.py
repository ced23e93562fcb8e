"""The report's charts as SVG that takes its colours from the page, so that one drawing serves light and dark.

Colour never carries a meaning alone: series also differ in dashes and in the shape of their marks, and every chart
stands beside its numbers. Positions in percent let a chart be as wide as its column.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from eval.judging.modes.mode import Mode
from eval.report.wording import decimal_places, format_number
from eval.results import Bin, Estimate, LeaderboardRow, Scale, WinMatrixCell

COLOURS, DASHES, SHAPES = 7, 3, 4  # .c0 ... and .d0 ... in report.css
LABEL = 24  # characters of a model's name in a drawing
WIDTH_OF_LETTER = 6.4  # pixels at the labels' 12 px, on the wide side


@dataclass(frozen=True, slots=True)
class Axis:
    """The ends of an axis and the numbers on it."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def share(self, value: float) -> float:
        """Where a value lies, 0 at the low end and 1 at the high one."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def axis(values: Sequence[float], least: float, ends: tuple[float, float] | None = None) -> Axis:
    """An axis with round ends around all values.

    Args:
        values: what it must show.
        least: it spans at least so much, so that small differences don't look large.
        ends: it goes no further than these, unless a value does.
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    grow = max(0.0, least - (high - low)) / 2
    low, high = low - grow, high + grow
    if ends:
        low, high = max(low, min([ends[0], *values])), min(high, max([ends[1], *values]))
    rough = (high - low or 1.0) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = tuple(round(step * place, 10) for place in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks)


def score_axis(rows: Sequence[LeaderboardRow], scale: Scale) -> Axis:
    """The leaderboard's axis: all intervals, at least a quarter of the scale."""
    known = [row.score for row in rows if row.score]
    values = [value for score in known for value in (score.low, score.mean, score.high) if value is not None]
    return axis(values, (scale.highest - scale.lowest) / 4, (scale.lowest, scale.highest))


def tick(value: float) -> str:
    """A number on an axis."""
    return format_number(value, 0 if float(value).is_integer() else 1 if float(value * 10).is_integer() else 2)


def track(estimate: Estimate | None, on: Axis, even: float | None) -> Markup:
    """One row of a dot plot: the interval as a band, the mean as a dot."""
    parts = [Markup('<line class="grid" x1="{0:.2f}%" x2="{0:.2f}%" y1="0" y2="100%"/>').format(100 * on.share(value))
             for value in on.ticks]  # fmt: skip
    if even is not None and on.low <= even <= on.high:
        parts.append(
            Markup('<line class="even" x1="{0:.2f}%" x2="{0:.2f}%" y1="0" y2="100%"/>').format(100 * on.share(even))
        )
    if estimate and estimate.low is not None and estimate.high is not None:
        low, high = 100 * on.share(estimate.low), 100 * on.share(estimate.high)
        parts.append(
            Markup('<rect class="band" x="{:.2f}%" width="{:.2f}%" y="25%" height="50%" rx="3"/>').format(
                low, max(high - low, 0.4)
            )
        )
    if estimate:
        parts.append(Markup('<circle class="dot" cx="{:.2f}%" cy="50%" r="5"/>').format(100 * on.share(estimate.mean)))
    return Markup('<svg class="track" aria-hidden="true">{}</svg>').format(Markup("").join(parts))


def track_axis(on: Axis) -> Markup:
    """The numbers under (or over) a dot plot."""
    parts = []
    for value in on.ticks:
        share = 100 * on.share(value)
        parts.append(Markup('<text x="{:.2f}%" y="12" text-anchor="middle">{}</text>').format(share, tick(value)))
    return Markup('<svg class="ticks" aria-hidden="true">{}</svg>').format(Markup("").join(parts))


def style(place: int) -> str:
    """The classes of a series: its colour and, beyond the last colour, its dashes."""
    return f"c{place % COLOURS} d{place // COLOURS % DASHES}"


def mark(place: int, x: float, y: float, size: float = 4.0) -> Markup:
    """The mark of a series: circle, square, triangle or diamond."""
    if place % SHAPES == 0:
        return Markup('<circle class="mark" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(x, y, size)
    shapes: dict[int, list[tuple[float, float]]] = {
        1: [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        2: [(0, -1.2), (1.2, 1), (-1.2, 1)],
        3: [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    }
    corners = shapes[place % SHAPES]
    points = " ".join(f"{x + size * 0.9 * dx:.1f},{y + size * 0.9 * dy:.1f}" for dx, dy in corners)
    return Markup('<polygon class="mark" points="{}"/>').format(points)


def swatch(place: int) -> Markup:
    """A series in a legend."""
    return Markup(
        '<svg class="swatch {}" width="30" height="12" aria-hidden="true"><line class="stroke" x1="1" x2="29" y1="6" '
        'y2="6"/>{}</svg>'
    ).format(style(place), mark(place, 15, 6))


def radar(categories: Sequence[str], rows: Sequence[LeaderboardRow], scale: Scale, shown: int) -> Markup:
    """Scores by category, one closed line a model; the page shows the first so many, and more on demand.

    A model without a score in some category has a gap there.
    """
    width, height, radius = 460.0, 324.0, 132.0
    values = [part.score.mean for row in rows for part in row.categories]
    round_axis = axis([scale.lowest, max([scale.highest, *values])], 0)
    on = Axis(scale.lowest, round_axis.high, tuple(value for value in round_axis.ticks if value > scale.lowest))

    def at(place: int, share: float) -> tuple[float, float]:
        angle = 2 * math.pi * place / len(categories) - math.pi / 2
        return width / 2 + radius * share * math.cos(angle), height / 2 + radius * share * math.sin(angle)

    parts = []
    for value in on.ticks:
        ring = " ".join("{:.1f},{:.1f}".format(*at(place, on.share(value))) for place in range(len(categories)))
        parts.append(Markup('<polygon class="grid" points="{}"/>').format(ring))
    for place, category in enumerate(categories):
        x, y = at(place, 1)
        parts.append(
            Markup('<line class="grid" x1="{}" y1="{}" x2="{:.1f}" y2="{:.1f}"/>').format(width / 2, height / 2, x, y)
        )
        x, y = at(place, 1.1)
        anchor = "middle" if abs(x - width / 2) < 8 else "start" if x > width / 2 else "end"
        parts.append(
            Markup('<text class="name" x="{:.1f}" y="{:.1f}" text-anchor="{}" dominant-baseline="middle">{}</text>')
            .format(x, y, anchor, shortened(category, 14))
        )  # fmt: skip
    for place, row in enumerate(rows):
        known = _known(categories, row)
        points = [at(spot, on.share(score)) for spot, score in known]
        parts.append(_line(place, row, points, closed=len(known) == len(categories), off=place >= shown))
    for value in on.ticks:
        x, y = at(0, on.share(value))
        parts.append(Markup('<text class="tick" x="{:.1f}" y="{:.1f}">{}</text>').format(x + 4, y + 4, tick(value)))
    return Markup(
        '<svg class="chart radar" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="Scores by category; the same '
        'numbers are in the table">{}</svg>'
    ).format(width, height, Markup("").join(parts))


def _known(categories: Sequence[str], row: LeaderboardRow) -> list[tuple[int, float]]:
    scores = {part.name: part.score.mean for part in row.categories}
    return [(place, scores[name]) for place, name in enumerate(categories) if name in scores]


def _line(place: int, row: LeaderboardRow, points: Sequence[tuple[float, float]], closed: bool, off: bool) -> Markup:
    spots = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    marks = Markup("").join(mark(place, x, y, 3.4) for x, y in points)
    shape = Markup('<polygon class="area" points="{0}"/>' if closed else "").format(spots)
    return Markup(
        '<g class="series {}{}" data-series="{}"><title>{}</title>{}{}</g>'
    ).format(style(place), " off" if off else "", place, row.label, shape, marks)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Frame:
    """What all histograms of a board share, so that they can be compared.

    Attributes:
        low, high, step: the first bar's score, the last one's, and the distance of two bars.
        highest: the share of a model's scores that is full height.
        ends: what stands below the first and the last bar.
    """

    low: float
    high: float
    step: float
    highest: float
    ends: tuple[str, str]


def frame(rows: Sequence[LeaderboardRow], mode: Mode) -> Frame:
    """The frame of a board's histograms. It shows every verdict that the mode knows."""
    scores = [found.score for row in rows for found in row.distribution]
    low, high = mode.verdict_range
    if mode.graded:
        step = 1.0 if all(float(score).is_integer() for score in scores) else 0.5
        ends = (tick(low), tick(high))
    else:
        step = 0.5 if all(float(score * 2).is_integer() for score in scores) else 0.1
        ends = ("lost", "won")
    shares = [0.0]
    for row in rows:
        counts = grouped(row.distribution, low, step).values()
        shares += [count / sum(counts) for count in counts]
    return Frame(low, high, step, max(shares) or 1.0, ends)


def grouped(bins: Sequence[Bin], low: float, step: float) -> dict[int, int]:
    """Counts by bar."""
    counts: dict[int, int] = {}
    for found in bins:
        place = round((found.score - low) / step)
        counts[place] = counts.get(place, 0) + found.count
    return counts


def distribution(bins: Sequence[Bin], on: Frame) -> Markup:
    """A histogram of one model's scores."""
    counts = grouped(bins, on.low, on.step)
    names = {place: tick(on.low + place * on.step) for place in counts}
    width, height = 180.0, 56.0
    slot = width / (round((on.high - on.low) / on.step) + 1)
    parts = []
    for place, count in counts.items():
        tall = height * count / sum(counts.values()) / on.highest
        parts.append(
            Markup(
                '<rect class="bar" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}: {}</title></rect>'
            ).format(place * slot + slot * 0.08, height - tall, slot * 0.84, tall, names[place], count)
        )
    return Markup(
        '<svg class="chart histogram" viewBox="0 0 180 72" role="img" aria-label="{label}">{bars}<line class="axis" '
        'x1="0" x2="180" y1="56" y2="56"/><text x="0" y="69">{first}</text>'
        '<text x="180" y="69" text-anchor="end">{last}</text></svg>'
    ).format(
        label=", ".join(f"{names[place]}: {count}" for place, count in sorted(counts.items())),
        bars=Markup("").join(parts),
        first=on.ends[0],
        last=on.ends[1],
    )


def outcome_bar(meeting: WinMatrixCell) -> Markup:
    """Won, tied and lost as one bar, from left to right."""
    whole = meeting.wins + meeting.ties + meeting.losses
    parts, at = [], 0.0
    for name, count in (("won", meeting.wins), ("tied", meeting.ties), ("lost", meeting.losses)):
        share = 100 * count / max(whole, 1)
        parts.append(
            Markup('<rect class="{}" x="{:.2f}%" width="{:.2f}%" y="25%" height="50%"/>').format(name, at, share)
        )
        at += share
    return Markup('<svg class="track" aria-hidden="true">{}</svg>').format(Markup("").join(parts))


def scatter(rows: Sequence[LeaderboardRow], scale: Scale) -> Markup:
    """Mean length of an answer against the score, with intervals and names that don't cover each other."""
    known = [(row, row.score, row.words) for row in rows if row.score and row.words is not None]
    width, height, left, right, top, bottom = 720.0, 390.0, 52.0, 20.0, 30.0, 44.0
    across = axis([words for *_, words in known], max(10.0, 0.2 * max((words for *_, words in known), default=0)))
    across = axis([max(0.0, across.low), across.high], 0)
    up = score_axis(rows, scale)
    parts = []
    for value in up.ticks:
        y = height - bottom - (height - bottom - top) * up.share(value)
        parts.append(
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/><text x="{}" y="{:.1f}" '
                'text-anchor="end">{}</text>'
            ).format(left, width - right, y, y, left - 8, y + 4, tick(value))
        )
    for value in across.ticks:
        x = left + (width - left - right) * across.share(value)
        parts.append(
            Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>').format(
                x, height - bottom + 18, tick(value)
            )
        )
    spots = [
        (
            left + (width - left - right) * across.share(words),
            height - bottom - (height - bottom - top) * up.share(score.mean),
        )
        for _, score, words in known
    ]
    for (row, score, words), (x, y) in zip(known, spots, strict=True):
        if score.low is not None and score.high is not None:
            ends = [height - bottom - (height - bottom - top) * up.share(end) for end in (score.low, score.high)]
            parts.append(
                Markup('<line class="whisker" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>').format(x, *ends)
            )
        parts.append(
            Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="5"><title>{}</title></circle>').format(
                x,
                y,
                f"{row.label}: {format_number(score.mean, decimal_places(scale))}, {format_number(words, 0)} words",
            )
        )
    parts += _labels(
        [shortened(row.label, LABEL) for row, *_ in known], spots, (left, width - right, top, height - bottom)
    )
    return Markup(
        '<svg class="chart scatter" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="Words an answer against '
        'score; the numbers are in the leaderboard">{}<text class="name" x="0" y="12">{}</text><text class="name" '
        'x="{:.0f}" y="{:.0f}" text-anchor="middle">words an answer</text></svg>'
    ).format(
        width, height, Markup("").join(parts), f"{scale.name}, {scale.unit}", (left + width - right) / 2, height - 6
    )


def _labels(
    names: Sequence[str], spots: Sequence[tuple[float, float]], frame: tuple[float, float, float, float]
) -> list[Markup]:
    """Names beside their points, each at the nearest place that is still free, with a line if that is far off."""
    left, right, top, bottom = frame
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in spots]
    parts = []
    for name, (x, y) in sorted(zip(names, spots, strict=True), key=lambda item: item[1][1]):
        wide = WIDTH_OF_LETTER * sum(1.8 if ord(letter) > 0x2E80 else 1 for letter in name)
        places = [(x + dx if side == "start" else x - dx, y + dy, side)
                  for dy in (0, -14, 14, -28, 28, -42, 42, -56, 56, -70, 70, -98, 98, -126, 126)
                  for dx, side in ((10, "start"), (10, "end"), (36, "start"), (36, "end"))]  # fmt: skip
        for at, level, side in places:
            box = (at if side == "start" else at - wide, level - 7, at + wide if side == "start" else at, level + 7)
            inside = left <= box[0] and box[2] <= right and top <= box[1] and box[3] <= bottom
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                if abs(level - y) > 14 or abs(at - x) > 20:
                    parts.append(
                        Markup('<line class="pointer" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(
                            x, y, at, level
                        )
                    )
                parts.append(
                    Markup('<text class="label" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
                        at, level + 4, side, name
                    )
                )
                break
    return parts


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def shortened(name: str, longest: int) -> str:
    """A name that fits; the whole one is in the drawing's tooltip."""
    return name if len(name) <= longest else name[: longest - 1] + "…"


def heat(rate: float) -> str:
    """The class of a win-matrix cell: 11 steps from always losing (h0) over even (h5) to always winning (h10)."""
    return f"h{round(rate / 10)}"
