"""One JSON document of any size, read record by record: an array, or an object that holds one."""

import io
import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from camelid.errors import UserError
from camelid.files.encodable import mend_parsed
from camelid.files.read import MAX_RECORD, Record, open_binary

WRAPPER = "data"  # the field in which an object that is a whole file holds its records
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
    with _open_window(path) as window:
        count = 0
        for place, value in _elements(window, str(path)):
            yield _placed(place, value)
            count += 1
        if window.peek():
            raise window.fault("there is more behind the array's end", count)


def scan_json_objects(path: str | Path) -> Iterator[tuple[str, Record | UserError]]:
    """Yield `(place, object)` for each object of a file in which they take several lines, streaming.

    Of an object whose field `data` is an array of objects, these are yielded in its place; what stands beside `data`
    is of the file, not of a record, and is left out.

    Raises:
        UserError: the file cannot be read, or is not one JSON object after the other (with the line).
    """
    with _open_window(path) as window:
        for index in itertools.count():
            if not window.peek():
                return
            place, fields, wrapped = f"{path}[{index}]" if index else str(path), dict[str, Any](), False
            for name in _names(window, index, place):
                if name == WRAPPER and window.peek() == "[" and window.peek_inside() == "{":
                    wrapped = True
                    for where, value in _elements(window, f"{place}: {WRAPPER}"):
                        yield _placed(where, value)
                else:
                    fields[name] = window.value(index, place)
            if not wrapped:
                yield place, fields


@contextmanager
def _open_window(path: str | Path) -> Iterator["_Window"]:
    with open_binary(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="\n") as text:
        yield _Window(text, str(path))


def _placed(place: str, value: object) -> tuple[str, Record | UserError]:
    if isinstance(value, dict):
        return place, value
    return place, UserError(f"{place}: expected a JSON object, found {type(value).__name__}")


def _elements(window: "_Window", array: str) -> Iterator[tuple[str, Any]]:
    """The values of the array that comes next, which places call `array`, each with its place."""
    window.take("[", 0)
    for index in itertools.count():
        if window.peek() == "]":
            window.take("]", index)
            return
        if index:
            window.take(",", index)
        place = f"{array}[{index}]"
        yield place, window.value(index, place)


def _names(window: "_Window", index: int, place: str) -> Iterator[str]:
    """The names of the fields of the object that comes next; whoever draws them takes the values."""
    window.take("{", index)
    for number in itertools.count():
        if window.peek() == "}":
            window.take("}", index)
            return
        if number:
            window.take(",", index)
        if window.peek() != '"':
            raise window.fault("expected the name of a field", index)
        name = str(window.value(index, place))
        window.take(":", index)
        yield name


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

    def peek_inside(self) -> str:
        """The next character behind the one that `peek` returns, white space left out."""
        while True:
            match = _SPACE.match(self._text, self._at + 1)
            if match and match.end() < len(self._text):
                return self._text[match.end()]
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
            if len(self._text) - end <= 2:  # a number may go on: `1` and then `e-5`
                length = end - self._at
                if self._grow(index):
                    continue
                end = length
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
