"""A run taken back some updates, to go on without those that did it harm: `camelid finetune R --rewind N --skip M`.

What an update trains on, its learning rate and its random numbers are functions of its number. So the run that goes on
is to the last bit the run that never had the updates that are left out; it makes so many fewer.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from camelid.errors import UserError
from camelid.files.lock import exclusive_lock
from camelid.files.read import read_jsonl
from camelid.files.tail import records_from_end
from camelid.files.write import AppendLog, write_jsonl
from finetune.engine.checkpoint import all_checkpoints, read_position, remove_checkpoint
from finetune.engine.run_folder import claim_run_folder
from finetune.recipe import Recipe

NAME = "rewinds.jsonl"


@dataclass(frozen=True)
class Rewind:
    """One line of `rewinds.jsonl`.

    Attributes:
        stood_at: updates done when it was asked for.
        went_to: updates that were kept.
        skip: updates left out from there on.
    """

    stood_at: int
    went_to: int
    skip: int


def left_out(folder: Path) -> Callable[[int], bool]:
    """Whether an update, by its 0-based number, is left out of the run in a folder."""
    path = folder / NAME
    rewinds = [Rewind(**record) for _, record in read_jsonl(path)] if path.is_file() else []
    ranges = [range(rewind.went_to, rewind.went_to + rewind.skip) for rewind in rewinds]
    return lambda update: any(update in each for each in ranges)


def rewind_run(recipe: Recipe, back: int, skip: int) -> Rewind:
    """Take a run back, before it goes on.

    Checkpoints of later updates go; the lines of metrics that are taken back stay in `metrics-rewound-N.jsonl`.

    Args:
        recipe: of the run.
        back: updates to take back, from the last line of its metrics.
        skip: updates to leave out from there on.

    Raises:
        UserError: the folder holds no run with this recipe, the run is going on, it has not come so far, or no
            checkpoint is left to go back to.
    """
    folder = Path(recipe.run.output)
    if back < 1 or skip < 0:
        raise UserError(f"--rewind {back} --skip {skip}: rewind by at least 1 update, and skip 0 or more")
    metrics = folder / "metrics.jsonl"
    with exclusive_lock(folder / "lock"):
        latest = next(records_from_end(metrics), None) if metrics.is_file() else None
        if latest is None:
            raise UserError(f"run.output = {str(folder)!r}: no run here that has made an update; nothing to rewind")
        claim_run_folder(folder, recipe)
        done = int(latest[1]["update"])
        rewind = Rewind(done, done - back, skip)
        _require_checkpoint(folder, rewind)
        taken = [record for _, record in read_jsonl(metrics) if record["update"] > rewind.went_to]
        number = sum(1 for _ in folder.glob("metrics-rewound-*.jsonl")) + 1
        write_jsonl(folder / f"metrics-rewound-{number}.jsonl", taken)
        # Newest first, and the record last: killed anywhere in between, the folder is that of a run stopped earlier.
        for checkpoint in reversed(all_checkpoints(folder / "checkpoints")):
            if read_position(checkpoint).update > rewind.went_to:
                remove_checkpoint(checkpoint)
        (folder / "summary.json").unlink(missing_ok=True)
        with AppendLog(folder / NAME) as log:
            log.append(asdict(rewind))
    return rewind


def _require_checkpoint(folder: Path, rewind: Rewind) -> None:
    found = [read_position(path).update for path in all_checkpoints(folder / "checkpoints")]
    if rewind.went_to != 0 and not any(update <= rewind.went_to for update in found):
        kept = f"kept are those of updates {', '.join(map(str, found))}" if found else "none is kept"
        raise UserError(
            f"{folder}: stands at update {rewind.stood_at}, and no checkpoint is left of update {rewind.went_to} or "
            f"before ({kept}); rewind by less, and keep more of them (run.keep_checkpoints)"
        )
