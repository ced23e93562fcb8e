"""What the system says of files and folders, where the user can mend it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from camelid.errors import UserError

# Any other error of the system keeps its traceback.
MENDABLE = (
    errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EFBIG, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOSPC,
    errno.ENOTDIR, errno.EPERM, errno.EROFS,
)  # fmt: skip


def mendable_line(error: OSError) -> str | None:
    """The error in one line, if it names a file and the user can mend it."""
    if error.errno not in MENDABLE or error.filename is None:
        return None
    return f"{error.filename2 or error.filename}: {error.strerror}"


@contextmanager
def naming_write_errors(path: str | Path, what: str) -> Iterator[None]:
    """Errors of writing become a `UserError` that names the place: a full disk names none.

    Args:
        path: the file or folder that is written.
        what: is written, in the plural ("the tokens").
    """
    try:
        yield
    except OSError as error:
        if error.errno not in MENDABLE:
            raise
        raise UserError(
            f"{path}: {what} could not be written: {error.strerror}; make room, or choose another place"
        ) from None


def make_folder(path: Path) -> None:
    """Make a folder with those above it; nothing happens if it is there.

    Raises:
        UserError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: this folder cannot be made: {error.strerror}; choose another place") from None
