"""Where files are: those that come with Camelid, and names that nearly exist."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from camelid.errors import UserError, closest_name


def find_packaged(path: str | Path) -> Path:
    """Return `path` if it exists, else the file of that name that comes with Camelid, else `path`.

    So `recipes/smoke.yaml` works in a checkout and, after `pip install`, anywhere.
    """
    ours = Path(__file__).parents[2] / path
    return ours if not Path(path).exists() and ours.exists() else Path(path)


def short_name(path: str | Path) -> str:
    """A file's name with its folder: evaluation sets are often called `question.jsonl`."""
    return "/".join(Path(path).parts[-2:])


class MissingFileError(UserError):
    """A file that is not there.

    Attributes:
        path: what was named.
        near: the message's suggestion, `"; did you mean 'x'?"`; empty if nothing beside it has a name like it.
    """

    def __init__(self, path: Path, reason: str, near: str = "") -> None:
        super().__init__(f"{path}: {reason}{near}")
        self.path, self.near = path, near


def missing_file_error(path: Path) -> MissingFileError:
    """The error for a file that is not there, with the one that was probably meant."""
    if not find_packaged(path.parent).is_dir():
        return MissingFileError(path, f"no such file; there is no folder {path.parent}")
    return MissingFileError(path, "no such file", suggest_path(path))


def suggest_path(path: str | Path, folders: Sequence[str] = ()) -> str:
    """`"; did you mean 'x'?"` for a path that is not there; empty if it is there, or if nothing has a name like it.

    Args:
        path: what was named.
        folders: where to look, too, if it is a bare name.
    """
    path = Path(path)
    if path.exists():
        return ""
    for folder in (path.parent, *(Path(name) for name in folders if path.parent == Path())):
        entries = sorted(find_packaged(folder).iterdir()) if find_packaged(folder).is_dir() else []
        names = {entry.stem: entry.name for entry in entries}
        near = closest_name(path.stem, names)
        if near is not None:
            return f"; did you mean {str(folder / names[near])!r}?"
    return ""


def refuse_overwriting(output: str | Path, inputs: Iterable[str | Path]) -> None:
    """Refuse to write over what is read.

    Raises:
        UserError: `output` is one of the inputs, or lies in a folder that is one.
    """
    written = Path(output).resolve()
    for path in inputs:
        read = Path(path).resolve()
        if written == read or (read in written.parents and written.exists()):
            raise UserError(f"--output {output}: is an input, too, and would be replaced; give another name")
