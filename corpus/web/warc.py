"""Records of WARC files (ISO 28500), of those that do not keep to it, too.

Lines that end in a bare newline, a `Content-Length` that is wrong, and a file that breaks off are read as far as they
can be, and counted.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from camelid.files.ledger import Ledger

_MAX = 256 << 20  # bytes of a record; Common Crawl cuts pages at 1 MiB
_LINE = 1 << 16
_AHEAD = 16  # bytes: as many as show that a record begins
_NEXT = re.compile(rb"(?:\r?\n)+(?=WARC/\d)")
_BROKEN = (EOFError, zlib.error, OSError)  # what unpacking raises where the bytes are wrong


@dataclass(frozen=True)
class WarcRecord:
    """One record.

    Attributes:
        headers: by name in small letters; what stands there twice counts as it stood first.
        body: what follows them, as it is.
    """

    headers: dict[str, str]
    body: bytes

    @property
    def type(self) -> str:
        """`conversion` (a text), `response`, `request`, `metadata`, `warcinfo`, ..."""
        return self.headers.get("warc-type", "").lower()

    @property
    def url(self) -> str:
        return self.headers.get("warc-target-uri", "").strip("<>")


class _Lines:
    """A file of which what was read can be put back."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._back = file, b""
        self.broken: str | None = None

    def read(self, size: int) -> bytes:
        taken, self._back = self._back[:size], self._back[size:]
        return taken + self._more(size - len(taken)) if len(taken) < size else taken

    def readline(self) -> bytes:
        if self._back:
            line, newline, self._back = self._back.partition(b"\n")
            return line + newline if newline else line + self._line()
        return self._line()

    def put_back(self, data: bytes) -> None:
        self._back = data + self._back

    def _line(self) -> bytes:
        try:
            return self._file.readline(_LINE) if self.broken is None else b""
        except _BROKEN as error:
            self.broken = str(error)
            return b""

    def _more(self, size: int) -> bytes:
        try:
            return self._file.read(size) if self.broken is None else b""
        except _BROKEN as error:
            self.broken = str(error)
            return b""


def read_warc(file: IO[bytes], documents: Ledger) -> Iterator[WarcRecord]:
    """Yield the whole records of an unpacked file.

    Args:
        file: binary.
        documents: counts a record in which the file breaks off, and lengths that were wrong.
    """
    lines = _Lines(file)
    while _find_start(lines):
        headers = _headers(lines)
        record = _body(lines, headers, documents)
        if record is None:
            documents.drop("the file breaks off in it", example=lines.broken or headers.get("warc-target-uri", ""))
            return
        yield record
    if lines.broken:
        documents.note("file that breaks off")


def _find_start(lines: _Lines) -> bool:
    """Go behind the next line that begins a record."""
    while line := lines.readline():
        if line.startswith(b"WARC/"):
            return True
    return False


def _headers(lines: _Lines) -> dict[str, str]:
    headers: dict[str, str] = {}
    name = ""
    while (line := lines.readline()).strip():
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text[0] in " \t" and name:  # goes on from the line before
            headers[name] += " " + text.strip()
            continue
        name, colon, value = text.partition(":")
        if colon:
            name = name.strip().lower()
            headers.setdefault(name, value.strip())
    return headers


def _body(lines: _Lines, headers: dict[str, str], documents: Ledger) -> WarcRecord | None:
    """The record, up to where the next one begins; None if the file ends before it does."""
    given = headers.get("content-length", "")
    length = int(given) if given.isdigit() and int(given) <= _MAX else 0
    body = lines.read(length)
    if len(body) == length and _ends(lines):
        return WarcRecord(headers, body)
    if lines.broken:
        return None
    window = body + lines.read(_AHEAD)
    inside = _NEXT.search(window)
    lines.put_back(window[inside.end() if inside else len(body) :])
    if inside:
        body = window[: inside.start()]
    elif len(body) < length:
        if not given.isdigit() or b"\r\n" in body:
            return None
        documents.repair("wrong Content-Length")  # of bare newlines, for which it does not hold
        return WarcRecord(headers, body.rstrip(b"\r\n"))
    else:
        more = bytearray(body)
        while (line := lines.readline()) and not line.startswith(b"WARC/"):
            more += line
        lines.put_back(line)
        body = bytes(more).rstrip(b"\r\n")
    documents.repair("wrong Content-Length")
    return WarcRecord(headers, body)


def _ends(lines: _Lines) -> bool:
    """Whether what comes next is the end of a record: empty lines, and a new one or the end of the file.

    Nothing is taken from the file if it is not.
    """
    blank = b""
    while line := lines.readline():
        if line.strip():
            lines.put_back(line)
            if line.startswith(b"WARC/"):
                return True
            lines.put_back(blank)
            return False
        blank += line
    return True
