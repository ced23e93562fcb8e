"""Where a run goes on: from its newest checkpoint, with the lines of metrics that it knows of."""

from pathlib import Path

from finetune.engine.checkpoint import latest_checkpoint, load_checkpoint, read_position, remove_partial
from finetune.engine.run_folder import cut_metrics
from finetune.engine.worker import Worker


def resume(worker: Worker, folder: Path, critic: Worker | None = None) -> tuple[int, int, int]:
    """Load the newest checkpoint, of a second model beside the first, too; return updates done, tokens seen and updates
    skipped just before (0s if none)."""
    found = latest_checkpoint(folder / "checkpoints")
    worker.patience.wait()
    if worker.accelerator.is_main_process:
        remove_partial(folder / "checkpoints")
        for name in ("metrics.jsonl", "samples.jsonl", "validation.jsonl"):
            cut_metrics(folder / name, read_position(found).update if found else 0)
    worker.patience.wait()
    if not found:
        return 0, 0, 0
    position = load_checkpoint(worker, found, worker.unwrapped.config, critic)
    worker.accelerator.print(f"resumed from {found}")
    return position.update, position.tokens, position.skipped
