"""Charts: the numbers that went in can be read off what comes out."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from camelid.charts import bar_chart, grid_chart, histogram, line_chart


def texts(path: Path) -> list[str]:
    return [element.text or "" for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def rectangles(path: Path) -> int:
    """Filled bars in the SVG."""
    return len(re.findall(r"fill: #3f7fd9", path.read_text()))


def test_bars_name_and_number_every_value(tmp_path: Path) -> None:
    bar_chart(tmp_path / "roles", {"user & <b>": 1200, "assistant": 3.5, "none": 0}, "Roles", "turns")
    shown = texts(tmp_path / "roles.svg")
    for text in ("user & <b>", "assistant", "none", "1,200", "3.5", "Roles", "turns"):
        assert text in shown
    assert shown.index("user & <b>") < shown.index("assistant")


def test_whole_numbers_get_a_bar_each(tmp_path: Path) -> None:
    histogram(tmp_path / "turns.svg", [2, 2, 4, 5], "Turns", "turns")
    assert rectangles(tmp_path / "turns.svg") == 4


def test_marks_are_labelled(tmp_path: Path) -> None:
    histogram(tmp_path / "lengths", list(np.linspace(0, 3000, 500)), "Lengths", "tokens", marks={"max_length": 2048})
    assert "max_length" in [text.strip() for text in texts(tmp_path / "lengths.svg")]


def test_curves_are_named_and_have_all_their_points(tmp_path: Path) -> None:
    curves = {"training": [(1, 3.0), (2, 2.5), (3, 2.4)], "validation": [(3, 2.6)]}
    line_chart(tmp_path / "loss", curves, "Loss", "update", "nats")
    svg = (tmp_path / "loss.svg").read_text()
    for text in ("training", "validation", "Loss", "update", "nats"):
        assert text in texts(tmp_path / "loss.svg")
    [path] = re.findall(r'd="(M [^"]*)"[^>]*style="[^"]*stroke: #3f7fd9[^"]*stroke-linecap: square', svg)[:1]
    assert len(re.findall(r"[ML] ", path)) == 3


@pytest.mark.parametrize("values", [[], [3], [0.5], [0.0, 0.0], [-2.5, 1e6], range(100_000, 100_900)])
def test_any_values_can_be_drawn(tmp_path: Path, values: list[float]) -> None:
    histogram(tmp_path / "h", values, "Anything", "values")
    assert ("no values" in texts(tmp_path / "h.svg")) == (len(values) == 0)
    with Image.open(tmp_path / "h.png") as picture:
        assert picture.width > 1000
        corner = picture.convert("RGBA").getpixel((0, 0))
        assert isinstance(corner, tuple) and corner[3] == 0  # transparent


def test_no_bars(tmp_path: Path) -> None:
    bar_chart(tmp_path / "empty", {}, "Empty", "things")
    assert "no values" in texts(tmp_path / "empty.svg")


def test_a_grid_shows_every_share(tmp_path: Path) -> None:
    grid_chart(tmp_path / "grid", {"4,096": [1.0, 0.25], "8,192": [0.5, 0.0]}, ["0", "1"], "Found", "place", "length")
    shown = [text.strip() for text in texts(tmp_path / "grid.svg")]
    assert {"4,096", "8,192", "100", "25", "50", "Found", "place", "length"} <= set(shown)


def test_same_numbers_same_file_and_nothing_left_behind(tmp_path: Path) -> None:
    for name in ("a", "b"):
        histogram(tmp_path / name, [1, 2, 2, 9], "Same", "values", marks={"median": 2})
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.svg", "a.png", "b.svg", "b.png"}
