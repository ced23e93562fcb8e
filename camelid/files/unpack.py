"""Packed files, known by how they begin: gzip, bzip2, xz, Zstandard, and a zip archive with one file of records."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Literal, cast

from camelid.errors import UserError

Packing = Literal["gzip", "bzip2", "xz", "Zstandard", "zip"]

# RFC 1952; bzip2's and xz's manuals; RFC 8878; PKWARE's APPNOTE, 4.3.7.
_BEGINNINGS: dict[bytes, Packing] = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"PK\x03\x04": "zip",
}
_SUFFIXES = {".gz", ".bz2", ".xz", ".zst"}
_RECORDS = {".json", ".jsonl", ".ndjson", ".csv", ".tsv"}
_EXPORT = "conversations.json"  # in the archives of ChatGPT's and Claude's exports, beside other files


def packing_of(path: Path) -> Packing | None:
    """How a file is packed; None if it is as it is."""
    with path.open("rb") as file:
        beginning = file.read(max(map(len, _BEGINNINGS)))
    return next((name for magic, name in _BEGINNINGS.items() if beginning.startswith(magic)), None)


@contextmanager
def open_unpacked(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes, unpacked while they are read.

    Raises:
        UserError: it is broken, or an archive in which no one file stands out; also while it is read.
    """
    packing = packing_of(path)
    if packing is None:
        with path.open("rb") as plain:
            yield plain
        return
    with naming_errors(path, packing), _open(path, packing) as file:
        yield file


def unpacked_name(path: Path) -> str:
    """The name of what is in a packed file: without `.gz` and the like, or of the file in an archive."""
    packing = packing_of(path)
    if packing == "zip":
        with naming_errors(path, packing), zipfile.ZipFile(path) as archive:
            return _member(archive, path)
    return path.stem if path.suffix in _SUFFIXES else path.name


@contextmanager
def naming_errors(name: str | Path, packing: str) -> Iterator[None]:
    """Errors of the unpacking libraries as the user's."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system, not of the file's bytes
            raise
        raise UserError(f"{name}: broken {packing} file: {error}") from None


def _open(path: Path, packing: Packing) -> IO[bytes]:
    if packing == "gzip":
        return cast(IO[bytes], gzip.open(path))
    if packing == "bzip2":
        return cast(IO[bytes], bz2.open(path))
    if packing == "xz":
        return lzma.open(path)
    if packing == "Zstandard":
        import pyarrow

        return io.BufferedReader(pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd"))
    archive = zipfile.ZipFile(path)
    try:
        return archive.open(_member(archive, path))
    except RuntimeError as error:  # it needs a password, or is packed in a way that zipfile does not know
        raise UserError(f"{path}: {error}; unpack it, and name the file to read") from None


def _member(archive: zipfile.ZipFile, path: Path) -> str:
    """The file of an archive that holds its records."""
    names = [name for name in archive.namelist() if PurePosixPath(name).suffix.lower() in _RECORDS]
    names = [name for name in names if not name.startswith("__MACOSX/")]
    export = [name for name in names if PurePosixPath(name).name == _EXPORT]
    for found in (export, names):
        if len(found) == 1:
            return found[0]
    held = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") if names else "no file of records"
    raise UserError(f"{path}: holds {held}; unpack it, and name the file to read")
