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


def expand_home(path: str) -> str:
    """A path as a shell would have it: `~` is the home folder, also in a YAML file."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        raise UserError(f"{path}: no such user; write the folder out") from None


def short_names(paths: Iterable[str | Path]) -> dict[str, Path]:
    """Files, the user's or Camelid's, by their names with as much of their folders as tells them apart.

    One folder at least: evaluation sets are often called `question.jsonl`. A file that is named twice is there once.
    """
    files = list({find_packaged(path).resolve(): Path(path) for path in paths}.items())
    names: dict[str, Path] = {}
    for length in range(2, 2 + max((len(whole.parts) for whole, _ in files), default=0)):
        names = {"/".join((path if length == 2 else whole).parts[-length:]): whole for whole, path in files}
        if len(names) == len(files):
            break
    return names


def beside(output: Path, ending: str) -> Path:
    """The file that explains an output or helps to make it: `data/x.ledger.json` of `data/x.jsonl`.

    Only `.jsonl` is left out of the name, so that `gpt-4.1` and `gpt-4.5`, or `x.json` and `x.jsonl`, share nothing.

    Raises:
        UserError: `x` is asked for where there is an `x.jsonl`, or the other way round: these would.
    """
    name = output.name.removesuffix(".jsonl")
    twin = output.with_name(name if name != output.name else f"{name}.jsonl")
    if twin.is_file():
        raise UserError(f"{output}: {twin} is there, whose {name}{ending} it would share; give another name")
    return output.with_name(f"{name}{ending}")


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
        read = find_packaged(path).resolve()
        if written == read or (read in written.parents and written.exists()):
            raise UserError(f"--output {output}: is an input, too, and would be replaced; give another name")
