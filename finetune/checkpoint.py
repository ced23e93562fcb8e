"""Checkpoints: written beside, renamed whole, so a killed run always finds a complete one."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from camelid.jsonl import read_json, sync_folder, write_json

NAME = re.compile(r"update-(\d{8})")


def latest(folder: Path) -> tuple[int, Path] | None:
    """The newest complete checkpoint as (updates done, folder), or None."""
    found = _all(folder)
    return found[-1] if found else None


def tokens_seen(checkpoint: Path) -> int:
    """Tokens the run had processed when the checkpoint was made."""
    seen = read_json(checkpoint / "position.json")["tokens"]
    assert isinstance(seen, int)
    return seen


def save(
    folder: Path,
    update: int,
    tokens: int,
    keep: int,
    write_state: Callable[[Path], None],
    is_main: bool,
    barrier: Callable[[], None],
) -> None:
    """Save a checkpoint; every process calls this at the same update.

    Args:
        folder: the run's `checkpoints` folder.
        update: updates done so far.
        tokens: tokens processed so far.
        keep: how many of the newest checkpoints stay.
        write_state: writes model, optimizer and random state of this process into a folder.
        is_main: whether this is the process that renames and removes.
        barrier: waits for all processes.
    """
    final = folder / f"update-{update:08d}"
    partial = folder / f".update-{update:08d}.partial"
    if is_main:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    barrier()
    write_state(partial)
    barrier()
    if is_main:
        write_json(partial / "position.json", {"update": update, "tokens": tokens})
        _sync_tree(partial)
        partial.rename(final)
        sync_folder(folder)
        for _, old in _all(folder)[:-keep]:
            shutil.rmtree(old)
    barrier()


def remove_partial(folder: Path) -> None:
    """Remove what a killed save left behind."""
    for path in folder.glob(".update-*.partial"):
        shutil.rmtree(path)


def _all(folder: Path) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    matches = ((NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)
