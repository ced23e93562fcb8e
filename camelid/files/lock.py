"""One process at a time works in a folder."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from camelid.files.system_errors import make_folder


@contextmanager
def exclusive_lock(path: str | Path) -> Iterator[None]:
    """Hold the lock file `path`; wait, saying so once, while another process holds it.

    The lock belongs to the process, not to the file: however a process ends, its lock ends with it. So a
    command that was killed while a child of it still works can simply be started again. At the end the file goes, and
    so do folders made for it that nothing else was put into: a command that refuses leaves nothing behind.
    """
    path = Path(path)
    made = [folder for folder in path.parents if not folder.exists()]
    file = _take(path)
    try:
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever waits for it finds that it is gone, and makes it anew
        fcntl.flock(file, fcntl.LOCK_UN)  # a child that was forked has it open, too
        file.close()
        with suppress(OSError):  # not empty
            for folder in made:
                folder.rmdir()


def _take(path: Path) -> IO[str]:
    """Open the file and lock it, waiting if need be."""
    said = False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+")
        except (FileNotFoundError, FileExistsError, NotADirectoryError, PermissionError):
            make_folder(
                path.parent
            )  # says what is wrong, if it is not that its last holder took it away in this moment
            if not os.access(path.parent, os.W_OK):
                raise
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            if not said:
                print(f"waiting for process {holder}, which is working in {path.parent}", file=sys.stderr, flush=True)
            said = True
            fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()
