"""Files read, with errors that name file and line: text, JSON, JSON Lines, bytes.

A file that comes with Camelid is found by its name from anywhere (`find_packaged`).
"""

import hashlib
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from camelid.errors import UserError
from camelid.files.encodable import mend_parsed
from camelid.files.paths import find_packaged, missing_file_error
from camelid.files.unpack import naming_errors, open_unpacked

Record = dict[str, Any]

MAX_RECORD = 64 << 20  # bytes of a line, characters of an array's element: far beyond any chat, small beside memory


def read_text(path: str | Path) -> str:
    """Return the UTF-8 text of a file.

    Raises:
        UserError: the file is missing, is a folder, or is not UTF-8 (with the byte offset).
    """
    path = Path(path)
    try:
        return find_packaged(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise missing_file_error(path) from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, expected a file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); convert the file to UTF-8") from None


def parse_json(text: str, place: str) -> Any:
    """Parse one JSON document; `place` (`file` or `file:line`) goes into the error."""
    try:
        return mend_parsed(json.loads(text), text, place)
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
    with open_binary(path) as file:
        yield from read_lines(file, path)


def read_lines(file: IO[bytes], name: str | Path) -> Iterator[tuple[str, Record]]:
    """As `read_jsonl`, of a file that is open, wherever it lies; `name` goes into places."""
    with naming_errors(name, "packed"):
        for place, record in _scan_lines(file, name):
            if isinstance(record, UserError):
                raise record
            yield place, record


def scan_jsonl(path: str | Path) -> Iterator[tuple[str, Record | UserError]]:
    """As `read_jsonl`, but a bad line yields its error in place of a record, and reading goes on.

    Memory is bounded by `MAX_RECORD`. Packed files are unpacked.

    Raises:
        UserError: the file cannot be read, or its first line is bad: then it is no JSON Lines file.
    """
    with open_binary(path) as file:
        yield from _scan_lines(file, path)


def _scan_lines(file: IO[bytes], name: str | Path) -> Iterator[tuple[str, Record | UserError]]:
    first = True
    for number in itertools.count(1):
        line = file.readline(MAX_RECORD + 1)
        if not line:
            return
        place = f"{name}:{number}"
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
    """A file to read, unpacked if it is packed (`camelid/files/unpack.py`)."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: is a folder, expected a file")
    try:
        with open_unpacked(find_packaged(path)) as file:
            yield file
    except FileNotFoundError:
        raise missing_file_error(path) from None


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex.

    Raises:
        UserError: the file is missing.
    """
    digest = hashlib.sha256()
    try:
        with find_packaged(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except FileNotFoundError:
        raise missing_file_error(Path(path)) from None
    return digest.hexdigest()
