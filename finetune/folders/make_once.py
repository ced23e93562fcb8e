"""Folders that a command makes from what it was told: whole or not at all, and never over another."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.lock import exclusive_lock
from camelid.files.read import read_json
from camelid.files.write import write_json


def make_once(folder: Path, made_from: dict[str, Any], make: Callable[[Path], str]) -> None:
    """Make a folder, unless it was made from the same things before; `made_from.json` in it says which.

    Args:
        folder: where it is to be.
        made_from: all that its content depends on.
        make: fills a folder that is not there yet, and says in a few words what it made.

    Raises:
        UserError: it is there, made from something else.
    """
    with exclusive_lock(folder.with_name(f".{folder.name}.lock")):
        if folder.exists():
            record = folder / "made_from.json"
            if not record.is_file() or read_json(record) != made_from:
                raise UserError(f"{folder} exists and was made from something else; choose another folder or remove it")
            print(f"{folder}: already made")
            return
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        made = make(partial)
        write_json(partial / "made_from.json", made_from)
        partial.rename(folder)
        print(f"{folder}: {made}")
