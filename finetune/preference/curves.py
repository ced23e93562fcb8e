"""A page of a preference run's curves: what was learned, and at whose expense."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from camelid.files.read import read_jsonl
from finetune.engine.evaluate import SAMPLE_TOKENS
from finetune.preference.evaluate import SAMPLES, VALIDATION
from finetune.preference.inline_chart import inline_chart
from finetune.preference.page import write_page

PAGE = "curves.html"  # in the run folder
SHOWN = 4  # prompts whose first and last answers are shown


@dataclass(frozen=True)
class Chart:
    """A chart of the page.

    Attributes:
        title: above it.
        unit: of its values.
        fields: of the logs; two at most that a kind of run has, and one where there are two logs.
        note: what to look for.
        logs: `training` (`metrics.jsonl`), `held out` (`validation.jsonl`).
    """

    title: str
    unit: str
    fields: tuple[str, ...]
    note: str = ""
    logs: tuple[str, ...] = ("training", "held out")


CHARTS = (
    Chart("Loss", "nats per preference", ("loss",)),
    Chart("Accuracy", "share", ("accuracy",), "How often the chosen answer has the higher reward."),
    Chart("Margin", "difference of rewards", ("margin",), "Of the chosen and the rejected answer, on average."),
    Chart(
        "Rewards",
        "reward",
        ("chosen_reward", "rejected_reward", "wanted_reward", "unwanted_reward"),
        "The margin can grow while both fall.",
        ("training",),
    ),
    Chart(
        "Log-probabilities",
        "nats an answer",
        ("chosen_log_prob", "rejected_log_prob", "wanted_log_prob", "unwanted_log_prob"),
        "When both fall, the policy forgets to speak.",
        ("training",),
    ),
    Chart(
        "Length of sampled answers",
        "tokens",
        ("sampled_tokens",),
        f"On held-out prompts, at most {SAMPLE_TOKENS} tokens each.",
        ("held out",),
    ),
)


def write_curves(run: Path, charts: Sequence[Chart] = CHARTS, warnings: Sequence[str] = ()) -> None:
    """Write the page of a run's folder from its metrics, evaluations and samples.

    Args:
        run: the folder.
        charts: of the page; those whose fields the run lacks are left out.
        warnings: said before them.
    """
    logs = {"training": _if_there(run / "metrics.jsonl"), "held out": _if_there(run / VALIDATION)}
    sections = []
    for chart in charts:
        curves = _curves(chart, {log: logs[log] for log in chart.logs})
        if any(len(points) > 1 for points in curves.values()):  # a single point is no curve
            drawing = inline_chart(curves, "update", chart.unit)
            sections.append({"title": chart.title, "note": chart.note, "drawing": Markup(drawing)})
    pairs = _before_and_after(run)
    write_page(run / PAGE, "curves.html", run=run.resolve().name, warnings=warnings, sections=sections, pairs=pairs)


def _if_there(path: Path) -> list[dict[str, Any]]:
    return [record for _, record in read_jsonl(path)] if path.is_file() else []


def _curves(chart: Chart, logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[tuple[float, float]]]:
    found = {}
    for field in chart.fields:
        for log, records in logs.items():
            points = [(record["update"], record[field]) for record in records if record.get(field) is not None]
            if points:
                found[field.split("_")[0] if len(chart.fields) > 1 else log] = points
    return found


def _before_and_after(run: Path) -> list[dict[str, Any]]:
    """Of each of some prompts the first answer and the last."""
    samples = _if_there(run / SAMPLES)
    prompts = list(dict.fromkeys(sample["prompt"] for sample in samples))[:SHOWN]
    said = {prompt: [sample for sample in samples if sample["prompt"] == prompt] for prompt in prompts}
    return [{"prompt": prompt, "first": each[0], "last": each[-1]} for prompt, each in said.items() if len(each) > 1]
