"""A line chart as an SVG that stands in a page."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from camelid.charts import line_chart
from camelid.files.read import read_text


def inline_chart(curves: Mapping[str, Sequence[tuple[float, float]]], xlabel: str, ylabel: str) -> str:
    """The drawing of `camelid.charts.line_chart`, without what only a file of its own needs: a page has the title."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chart.svg"
        line_chart(path, curves, "", xlabel, ylabel)
        return re.sub(r"^.*?(?=<svg)|<metadata>.*?</metadata>", "", read_text(path), flags=re.DOTALL)
