"""`metrics.jsonl` of a run: one line an update, spikes told."""

import sys
from pathlib import Path
from typing import Any

from camelid.files.write import AppendLog
from finetune.data.batches import Plan
from finetune.engine.evaluate import Validation
from finetune.engine.metrics import progress_line, update_metrics
from finetune.engine.spikes import spike_line, watch_after
from finetune.engine.update import UpdateFacts
from finetune.engine.worker import Worker
from finetune.recipe import Recipe


class MetricsLog:
    """Where the main process writes what is known of each update; trackers are told the same.

    Args:
        worker: this process.
        plan: of the run.
        recipe: of the run, whose folder holds the lines of the updates before.
    """

    def __init__(self, worker: Worker, plan: Plan, recipe: Recipe) -> None:
        self._worker, self._plan = worker, plan
        self._adapter = recipe.adapter.kind != "none"
        metrics = Path(recipe.run.output) / "metrics.jsonl"
        self._watch = watch_after(metrics)
        self._log = AppendLog(metrics)

    def write(
        self, update: int, lr: float, facts: UpdateFacts, seconds: float, validation: Validation | None, tokens: int
    ) -> str:
        """Write the line of an update; return what the progress bar says of it.

        Args:
            update: its 0-based number.
            lr: its learning rate.
            facts: what `run_update` knows of it.
            seconds: that it took.
            validation: what was found after it, if anything was looked for.
            tokens: of all updates so far.
        """
        record: dict[str, Any] = {"update": update + 1, "epoch": update // self._plan.updates_per_epoch, "lr": lr}
        loss = validation and validation.loss
        record |= update_metrics(self._worker, self._plan.data, facts, seconds, loss, self._adapter)
        record |= {"total_tokens": tokens, **(validation.facts if validation else {})}
        if spike := self._watch.look(record):
            record["spike"] = spike
            print(f"camelid: warning: {spike_line(record)}", file=sys.stderr, flush=True)
        self._log.append(record)
        told = {name: value for name, value in record.items() if isinstance(value, int | float)}
        for source, score in record.get("by_source", {}).items():
            told |= {f"{name}/{source}": value for name, value in score.items() if value is not None}
        self._worker.accelerator.log(told, step=update + 1)
        return progress_line(record)
