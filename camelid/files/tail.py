"""The end of a JSON Lines file, read backwards: what it takes does not grow with what stands before."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from camelid.errors import UserError
from camelid.files.read import Record, parse_json

BLOCK = 1 << 16  # bytes read at a time


def records_from_end(path: str | Path) -> Iterator[tuple[int, Record]]:
    """Yield the records of a file, the last one first, each with the byte where its line ends.

    A last line that a kill tore off is left out.

    Raises:
        UserError: a line is broken; the error says how far from the end.
    """
    for number, (end, line) in enumerate(_lines_from_end(Path(path)), 1):
        if line.endswith(b"\n") and line.strip():
            record = parse_json(line.decode().rstrip(), f"{path}, line {number} from the end")
            if not isinstance(record, dict):
                raise UserError(f"{path}, line {number} from the end: expected a JSON object")
            yield end, record


def cut_after(path: str | Path, keep: Callable[[Record], bool]) -> None:
    """Drop the lines behind the last record that is to be kept."""
    end = next((end for end, record in records_from_end(path) if keep(record)), 0)
    with Path(path).open("r+b") as file:
        file.truncate(end)
        os.fsync(file.fileno())


def _lines_from_end(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each line with its newline, and where it ends."""
    with path.open("rb") as file:
        start = end = file.seek(0, os.SEEK_END)
        held = b""  # from `start` to `end`
        while end:
            newline = held.rfind(b"\n", 0, len(held) - 1)
            if newline < 0 and start:
                begin = max(0, start - BLOCK)
                file.seek(begin)
                held, start = file.read(start - begin) + held, begin
                continue
            line = held[newline + 1 :]
            yield end, line
            held, end = held[: newline + 1], end - len(line)
