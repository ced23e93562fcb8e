"""What a demo is made of: command lines, and the figures of the report at their end."""

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from camelid.files.read import read_json


@dataclass(frozen=True)
class Stage:
    """One command line of the demo and why it is run."""

    title: str
    command: tuple[str, ...]


def add_scores(table: Table, judged: Path) -> None:
    """Add each model's score of 10 with its interval, and where the report is.

    Args:
        table: of two columns.
        judged: the folder of an evaluation in `single` mode that has its report.
    """
    for model in read_json(judged / "results.json")["boards"][0]["rows"]:
        score = model["score"]
        interval = f"95% interval {score['low']:.2f} to {score['high']:.2f}"
        table.add_row(f"score: {model['label']}", f"{score['mean']:.2f} of 10 ({interval})")
    table.add_row("report", str((judged / "report.html").resolve()))
