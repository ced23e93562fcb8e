"""Spikes of the loss or of the gradient: told when they happen, so that a run can be rewound and the data left out."""

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from camelid.files.tail import records_from_end

# OLMo-core's rule, by which its optimizer leaves out a step (olmo_core/optim/skip_step_optimizer.py): more than 6
# standard deviations above the mean of the last 128 updates, once there are half as many.
WINDOW = 128
LEAST = WINDOW // 2
SIGMAS = 6.0
WATCHED = {"loss": "loss", "grad_norm": "gradient norm"}  # fields of metrics.jsonl, and what they are called


class SpikeWatch:
    """Compares each update with those before it.

    Args:
        before: the metrics of updates before, the last one last.
    """

    def __init__(self, before: Iterable[Mapping[str, Any]] = ()) -> None:
        self._past: dict[str, deque[float | None]] = {name: deque(maxlen=WINDOW) for name in WATCHED}
        for record in before:
            self._remember(record)

    def look(self, record: Mapping[str, Any]) -> dict[str, float]:
        """What of an update is a spike, by its field, in standard deviations above the mean; then remember it."""
        found = {name: self._sigmas(name, record.get(name)) for name in WATCHED}
        self._remember(record)
        return {name: round(sigmas, 1) for name, sigmas in found.items() if sigmas > SIGMAS}

    def _sigmas(self, name: str, value: float | None) -> float:
        past = np.array([each for each in self._past[name] if each is not None])
        if value is None or past.size < LEAST:
            return 0.0
        spread = float(past.std(ddof=1))
        return (value - float(past.mean())) / spread if spread else 0.0

    def _remember(self, record: Mapping[str, Any]) -> None:
        for name, past in self._past.items():
            past.append(record.get(name))


def watch_after(metrics: Path) -> SpikeWatch:
    """A watch that knows the updates of a run so far; none if it has just begun."""
    if not metrics.is_file():
        return SpikeWatch()
    latest = [record for _, record in islice(records_from_end(metrics), WINDOW)]
    return SpikeWatch(reversed(latest))


def spike_line(record: Mapping[str, Any]) -> str:
    """What to say of an update with spikes."""
    told = ", ".join(
        f"{WATCHED[name]} {record[name]:.4g}, {sigmas:g} standard deviations above the last {WINDOW}"
        for name, sigmas in record["spike"].items()
    )
    return (
        f"update {record['update']}: spike: {told}; if it does not pass, stop, and go on with --rewind N --skip M "
        "(docs/pretraining.md)"
    )
