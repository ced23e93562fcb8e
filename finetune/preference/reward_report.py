"""A page about reward models on preferences: accuracy by grade and by length, and calibration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from finetune.preference.accuracy import Confidence, accuracies, calibration
from finetune.preference.inline_chart import inline_chart
from finetune.preference.page import write_page
from finetune.preference.score_file import ScoredFile, scored_pairs


def write_reward_report(page: Path, file: Path, scored: ScoredFile, rewards: Mapping[str, Path]) -> list[str]:
    """Write the page; return a line a reward for the terminal.

    Args:
        page: where it goes.
        file: the preferences.
        scored: the same with scores.
        rewards: folders of the reward models by name.
    """
    sections, lines = [], []
    for name, folder in rewards.items():
        pairs = scored_pairs(scored.records, name)
        rows, (steps, error) = accuracies(pairs), calibration(pairs)
        ledger = scored.ledgers[name]
        sections.append(
            {
                "name": name,
                "folder": str(folder),
                "scored": f"{len(pairs):,}",
                "dropped": ledger.dropped.total(),
                "why": ", ".join(ledger.dropped),
                "rows": rows,
                "steps": steps,
                "calibration_error": error,
                "chart": _chart(steps, name),
            }
        )
        by_slice = ", ".join(f"{row.name} {row.accuracy:.1%} of {row.pairs:,}" for row in rows)
        lines.append(f"{name}: {by_slice}; calibration error {error:.3f}")
    write_page(page, "reward_report.html", file=file.name, rewards=sections)
    return lines


def _chart(steps: list[Confidence], name: str) -> Markup:
    """The curve beside the diagonal, as an SVG to stand in a page."""
    curves: dict[str, Any] = {
        name: [(step.said, step.accuracy) for step in steps],
        "perfectly calibrated": [(0.5, 0.5), (1.0, 1.0)],
    }
    return Markup(inline_chart(curves, "probability given", "share right"))
