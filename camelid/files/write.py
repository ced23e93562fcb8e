"""Files written so that a reader sees the whole old one, the whole new one, or a log that ends at a record boundary.

Every file Camelid leaves behind goes through `atomic_write`, `write_bytes`, `write_packed_jsonl` or `AppendLog`.
"""

import gzip
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from camelid.errors import UserError
from camelid.files.read import Record

_LEVEL = 4  # of gzip's 9: the fastest that looks ahead before it takes a match (zlib's deflate.c)


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


@contextmanager
def atomic_write_binary(path: str | Path) -> Iterator[IO[bytes]]:
    """As `atomic_write`, a handle of bytes."""
    with _replacing(Path(path)) as partial, partial.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a binary file (a picture) atomically."""
    with atomic_write_binary(path) as file:
        file.write(content)


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


def give_usual_mode(path: Path) -> None:
    """Give a file the mode of files that this process makes (its umask), where a library made it the owner's alone."""
    usual = path.with_name(f".{path.name}.mode")
    usual.touch()
    try:
        shutil.copymode(usual, path)
    finally:
        usual.unlink()


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


def write_packed_jsonl(path: str | Path, records: Iterable[Record]) -> int:
    """As `write_jsonl`, packed with gzip; equal records make equal bytes, whatever the file is called and when."""
    count = 0
    with atomic_write_binary(path) as file:
        packed = gzip.GzipFile("", "wb", compresslevel=_LEVEL, fileobj=file, mtime=0)
        with packed, io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as text:
            for record in records:
                text.write(dumps(record) + "\n")
                count += 1
    return count


def write_json(path: str | Path, value: object) -> None:
    """Write one indented JSON document atomically."""
    with atomic_write(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


class AppendLog:
    """An append-only JSON Lines file in which every returned `append` has reached the disk.

    A process killed inside a write leaves a torn last line; opening the log cuts it off and reports it
    as `torn` (bytes removed, 0 normally), so that later records never join it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.torn = _cut_torn_line(self.path)
        self._file = self.path.open("ab", buffering=0)

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
        """Write records with one fsync for all of them; all or, if the disk does not take them, none."""
        left = memoryview("".join(dumps(record) + "\n" for record in records).encode())
        before = os.fstat(self._file.fileno()).st_size
        try:
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError:
            with suppress(OSError):  # what comes later must not join a torn line
                os.ftruncate(self._file.fileno(), before)
            raise

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
