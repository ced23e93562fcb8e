"""One JSON array of any size, read record by record."""

import io
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from camelid.errors import UserError
from camelid.files.encodable import mend_parsed
from camelid.files.read import MAX_RECORD, Record, open_binary

_BLOCK = 1 << 20  # characters read at a time
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


def scan_json_array(path: str | Path) -> Iterator[tuple[str, Record | UserError]]:
    """Yield `("path[index]", object)` for each element of one JSON array, streaming.

    An element that is not an object yields its error. Memory is bounded by `MAX_RECORD`. (The json module
    reads these as fast as ijson does, names the line of a fault, and does not replace lone surrogates.)

    Raises:
        UserError: the file cannot be read, or is not one JSON array (with the line).
    """
    with open_binary(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="\n") as text:
        window = _Window(text, str(path))
        window.take("[", 0)
        for index in itertools.count():
            if window.peek() == "]":
                window.take("]", index)
                break
            if index:
                window.take(",", index)
            place = f"{path}[{index}]"
            value = window.value(index, place)
            wrong = f"{place}: expected a JSON object, found {type(value).__name__}"
            yield place, value if isinstance(value, dict) else UserError(wrong)
        if window.peek():
            raise window.fault("there is more behind the array's end", index)


class _Window:
    """A stretch of a text file that holds at least the JSON value being read."""

    def __init__(self, file: IO[str], path: str) -> None:
        self._file, self._path = file, path
        self._text, self._at, self._lines = "", 0, 1

    def peek(self) -> str:
        """The next character that is not white space; empty at the end of the file."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._grow(0):
                return ""

    def take(self, character: str, index: int) -> None:
        found = self.peek()
        if found != character:
            what = f"found {found!r}" if found else "the file ends"
            raise self.fault(f"expected {character!r}, {what}", index)
        self._at += 1

    def value(self, index: int, place: str) -> Any:
        """Parse the next value, reading on while it is not whole."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # Any other fault this far from the window's end cannot be mended by more text.
                cut = error.msg.startswith("Unterminated string") or error.pos + 16 > len(self._text)
                if cut and self._grow(index):
                    continue
                what = f"the file ends inside the record ({error.msg})" if cut else error.msg
                raise self.fault(what, index, error.pos) from None
            except RecursionError:
                raise self.fault("nested too deeply", index) from None
            except ValueError as error:  # a number of thousands of digits
                raise self.fault(str(error), index) from None
            if end == len(self._text) and self._grow(index):
                continue
            value = mend_parsed(value, self._text[self._at : end], place)
            self._at = end
            return value

    def fault(self, what: str, index: int, at: int | None = None) -> UserError:
        line = self._lines + self._text.count("\n", 0, self._at if at is None else at)
        return UserError(f"{self._path}:{line}: broken JSON in record {index}: {what}")

    def _grow(self, index: int) -> bool:
        """Drop what was read; at least double what is left."""
        left = len(self._text) - self._at
        if left > MAX_RECORD:
            raise self.fault(f"the record is larger than {MAX_RECORD >> 20} MiB", index)
        try:
            more = self._file.read(max(_BLOCK, left))
        except UnicodeDecodeError:
            raise UserError(f"{self._path}: not UTF-8 text, in or soon after record {index}") from None
        self._lines += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)
