"""Files: JSON Lines read with path:line errors, atomic writes, and an append-only log.

Every file Camelid leaves behind goes through `atomic_write` or `AppendLog`, so a reader sees either
the whole old file, the whole new file, or a log that ends at a record boundary.
"""

import gzip
import hashlib
import itertools
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from camelid.errors import UserError, closest

Record = dict[str, Any]

MAX_RECORD = 64 << 20  # bytes of a line, characters of an array's element: far beyond any chat, small beside memory
SHIPPED = ("recipes", "recipes/models", "recipes/launch", "eval/data")  # where a bare file name is looked up


def packaged(path: str | Path) -> Path:
    """Return `path` if it exists, else the file of that name that comes with Camelid, else `path`.

    So `recipes/smoke.yaml` works in a checkout and, after `pip install`, anywhere.
    """
    ours = Path(__file__).parents[2] / path
    return ours if not Path(path).exists() and ours.exists() else Path(path)


def no_such_file(path: Path) -> UserError:
    """The error for a file that is not there, with the one that was probably meant."""
    if not packaged(path.parent).is_dir():
        return UserError(f"{path}: no such file; there is no folder {path.parent}")
    return UserError(f"{path}: no such file{near_path(path)}")


def near_path(path: str | Path) -> str:
    """`"; did you mean 'x'?"` for a path that is not there; empty if it is there, or if nothing has a name like it."""
    path = Path(path)
    if path.exists():
        return ""
    for folder in (path.parent, *(Path(name) for name in SHIPPED if path.parent == Path())):
        entries = sorted(packaged(folder).iterdir()) if packaged(folder).is_dir() else []
        names = {entry.stem: entry.name for entry in entries}
        near = closest(path.stem, names)
        if near is not None:
            return f"; did you mean {str(folder / names[near])!r}?"
    return ""


def spare_inputs(output: str | Path, inputs: Iterable[str | Path]) -> None:
    """Refuse to write over what is read.

    Raises:
        UserError: `output` is one of the inputs.
    """
    if Path(output).resolve() in {Path(path).resolve() for path in inputs}:
        raise UserError(f"--output {output}: is an input, too, and would be replaced; give another name")


def read_text(path: str | Path) -> str:
    """Return the UTF-8 text of a file.

    Raises:
        UserError: the file is missing, is a folder, or is not UTF-8 (with the byte offset).
    """
    path = Path(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise no_such_file(path) from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, expected a file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); convert the file to UTF-8") from None


def parse_json(text: str, place: str) -> Any:
    """Parse one JSON document; `place` (`file` or `file:line`) goes into the error."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = place if error.lineno == 1 else f"{place}:{error.lineno}"
        raise UserError(f"{where}: broken JSON at column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise UserError(f"{place}: JSON is nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise UserError(f"{place}: broken JSON: {error}") from None


def read_json(path: str | Path) -> Any:
    """Parse a whole JSON file."""
    return parse_json(read_text(path), str(path))


def read_jsonl(path: str | Path) -> Iterator[tuple[str, Record]]:
    """Yield `("path:line", record)` for each non-blank line, streaming.

    Raises:
        UserError: the file is missing, a line is not UTF-8 or not JSON, or a line is not a JSON object.
    """
    for place, record in scan_jsonl(path):
        if isinstance(record, UserError):
            raise record
        yield place, record


def scan_jsonl(path: str | Path) -> Iterator[tuple[str, Record | UserError]]:
    """As `read_jsonl`, but a bad line yields its error in place of a record, and reading goes on.

    Memory is bounded by `MAX_RECORD`. Files that end in `.gz` are unpacked.

    Raises:
        UserError: the file cannot be read, or its first line is bad: then it is no JSON Lines file.
    """
    first = True
    with open_binary(path) as file:
        for number in itertools.count(1):
            line = file.readline(MAX_RECORD + 1)
            if not line:
                return
            place = f"{path}:{number}"
            record = _parse_line(line, place, number)
            while len(line) > MAX_RECORD and not line.endswith(b"\n"):
                line = file.readline(MAX_RECORD + 1)
            if record is None:
                continue
            if isinstance(record, UserError) and first:
                raise UserError(f"{record}; expected one JSON object a line")
            first = False
            yield place, record


def _parse_line(line: bytes, place: str, number: int) -> Record | UserError | None:
    """One line as a record; None if it is blank."""
    if len(line) > MAX_RECORD:
        return UserError(f"{place}: a line of more than {MAX_RECORD >> 20} MiB; a record must be smaller")
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        return UserError(f"{place}: not UTF-8 text (byte {error.start} of the line)")
    if not text.strip():
        return None
    try:
        record = parse_json(text.rstrip(), place)
    except UserError as error:
        return error
    if isinstance(record, dict):
        return record
    return UserError(f"{place}: expected a JSON object, found {type(record).__name__}")


def first_character(path: str | Path) -> str:
    """The first character of a text file that is not white space; empty if there is none.

    Raises:
        UserError: the file cannot be read, or is not text.
    """
    with open_binary(path) as file:
        while block := file.read(4096):
            if b"\0" in block:
                raise UserError(f"{path}: a binary file, expected JSON or JSON Lines")
            if text := block.removeprefix(b"\xef\xbb\xbf").lstrip():
                return chr(text[0])
    return ""


@contextmanager
def open_binary(path: str | Path) -> Iterator[IO[bytes]]:
    """A file to read, unpacked if its name ends in `.gz`."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder, expected a file")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file  # type: ignore[misc]
    except FileNotFoundError:
        raise no_such_file(path) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: broken gzip file: {error}") from None


def dumps(record: object) -> str:
    """One canonical line of JSON (no newline): keys in given order, Unicode kept as it is."""
    return json.dumps(record, ensure_ascii=False, separators=(", ", ": "), allow_nan=False)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[str]]:
    """Yield a text handle; on success the file appears whole under `path`, on error nothing changes."""
    with _replacing(Path(path)) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a binary file (a picture) atomically."""
    with _replacing(Path(path)) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a file name beside `path`; on success that file takes its place, on error it goes."""
    if path.is_dir():  # or all the work would be done before the system says so
        raise UserError(f"{path}: is a folder, expected a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
        sync_folder(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """Make a rename inside `path` durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_jsonl(path: str | Path, records: Iterable[Record]) -> int:
    """Write records atomically, one a line; return how many."""
    count = 0
    with atomic_write(path) as file:
        for record in records:
            file.write(dumps(record) + "\n")
            count += 1
    return count


def write_json(path: str | Path, value: object) -> None:
    """Write one indented JSON document atomically."""
    with atomic_write(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class AppendLog:
    """An append-only JSON Lines file in which every returned `append` has reached the disk.

    A process killed inside a write leaves a torn last line; opening the log cuts it off and reports it
    as `torn` (bytes removed, 0 normally), so that later records never join it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.torn = _cut_torn_line(self.path)
        self._file = self.path.open("a", encoding="utf-8", newline="\n")

    def __enter__(self) -> "AppendLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, record: Record) -> None:
        """Write one record and fsync it."""
        self.append_all([record])

    def append_all(self, records: Iterable[Record]) -> None:
        """Write records with one fsync for all of them."""
        self._file.write("".join(dumps(record) + "\n" for record in records))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def _cut_torn_line(path: Path) -> int:
    """Truncate `path` after its last newline; return the number of bytes cut."""
    if not path.exists():
        return 0
    size = path.stat().st_size
    keep = size
    with path.open("r+b") as file:
        while keep > 0:
            start = max(0, keep - 65536)
            file.seek(start)
            newline = file.read(keep - start).rfind(b"\n")
            if newline >= 0:
                keep = start + newline + 1
                break
            keep = start
        if keep < size:
            file.truncate(keep)
            os.fsync(file.fileno())
    return size - keep
