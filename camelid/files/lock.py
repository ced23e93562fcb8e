"""One process at a time works in a folder."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from camelid.files.system_errors import make_folder


@contextmanager
def exclusive_lock(path: str | Path) -> Iterator[None]:
    """Hold the lock file `path`; wait, saying so once, while another process holds it.

    The lock belongs to the process, not to the file: however a process ends, its lock ends with it. So a
    command that was killed while a child of it still works can simply be started again.
    """
    path = Path(path)
    make_folder(path.parent)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            print(f"waiting for process {holder}, which is working in {path.parent}", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)
