"""Charts: axes hold all values, names do not cover each other, histograms lose no count."""

import re
from dataclasses import replace

import pytest

from eval.judging.modes.table import MODES
from eval.report import charts_svg
from eval.results import Bin
from tests.eval.synthetic import evaluation


@pytest.mark.parametrize(
    ("values", "least", "ends"),
    [([6.2, 6.9], 2.25, (1.0, 10.0)), ([0.0], 0.0, None), ([48.0, 131.0], 25.0, (0.0, 100.0)), ([9.9], 2.25, (1, 10))],
)
def test_axes_have_round_ends_around_all_values(
    values: list[float], least: float, ends: tuple[float, float] | None
) -> None:
    axis = charts_svg.axis(values, least, ends)
    steps = {round(b - a, 9) for a, b in zip(axis.ticks, axis.ticks[1:], strict=False)}
    assert axis.low <= min(values) and max(values) <= axis.high and len(steps) == 1 and 2 <= len(axis.ticks) <= 12
    assert all(0 <= axis.share(value) <= 1 for value in values)


def test_names_in_the_scatter_do_not_cover_each_other() -> None:
    made = evaluation("single", models=20, questions=24, characters=200, perfect=True)
    drawing = str(charts_svg.scatter(made.results.boards[0].rows, made.results.scale))
    pattern = r'<text class="label" x="([\d.]+)" y="([\d.]+)" text-anchor="(start|end)">([^<]+)</text>'
    boxes = []
    for x, y, side, name in re.findall(pattern, drawing):
        left = float(x) - (0 if side == "start" else 6 * len(name))
        boxes.append((left, float(y) - 10, left + 6 * len(name), float(y) + 2))
    assert len(boxes) == 20 and all(left >= 0 and right <= 720 for left, _, right, _ in boxes)
    for place, one in enumerate(boxes):
        for two in boxes[place + 1 :]:
            assert one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]


def test_histograms_keep_every_count() -> None:
    for mode in MODES:
        rows = evaluation(mode, models=3).results.boards[0].rows
        frame = charts_svg.frame(rows, MODES[mode])
        for row in rows:
            counts = charts_svg.grouped(row.distribution, frame.low, frame.step)
            assert sum(counts.values()) == sum(found.count for found in row.distribution)
            assert all(0 <= place <= round((frame.high - frame.low) / frame.step) for place in counts)


def test_a_grade_of_0_has_its_bar_and_all_histograms_one_frame() -> None:
    row = evaluation("vicuna", models=2).results.boards[0].rows[0]
    whole = replace(row, distribution=(Bin(0.0, 3), Bin(10.0, 1)))
    frame = charts_svg.frame([whole, replace(row, distribution=(Bin(2.5, 1), Bin(3.0, 1)))], MODES["vicuna"])
    assert (frame.low, frame.high, frame.step, frame.highest) == (0.0, 10.0, 0.5, 0.75)
    assert charts_svg.grouped(whole.distribution, frame.low, frame.step) == {0: 3, 20: 1}
