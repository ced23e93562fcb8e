"""Tables of text with a header (CSV, TSV): each row is a record of texts."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from camelid.errors import UserError
from camelid.files.read import MAX_RECORD, Record, open_binary

_DELIMITERS = ",;\t"  # RFC 4180's; where the comma is the decimal point; of TSV


def scan_csv(path: str | Path) -> Iterator[tuple[str, Record | UserError]]:
    """Yield `("path:line", row)`, streaming; a row of another length than the header yields its error.

    The delimiter is that which the header has most of. A field with line ends in it must be quoted; the line is where
    the row begins.

    Raises:
        UserError: the file cannot be read, has no header, or is broken where it cannot be read on.
    """
    csv.field_size_limit(MAX_RECORD)
    with open_binary(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        line = 0
        try:
            first = text.readline()
            rows = csv.reader(_with_first(first, text), delimiter=max(_DELIMITERS, key=first.count), strict=True)
            header = next(rows, [])
            if len(set(header)) < len(header) or "" in header:
                raise UserError(f"{path}:1: every column needs a name of its own, found {header}")
            line = rows.line_num
            for row in rows:
                place, line = f"{path}:{line + 1}", rows.line_num
                if len(row) == len(header):
                    yield place, dict(zip(header, row, strict=True))
                elif row:
                    yield place, UserError(f"{place}: {len(row)} cells, but the header has {len(header)}")
        except csv.Error as error:
            raise UserError(f"{path}:{line + 1}: broken CSV: {error}") from None
        except UnicodeDecodeError:
            raise UserError(f"{path}: not UTF-8 text, in or soon after line {line + 1}") from None


def _with_first(line: str, rest: io.TextIOWrapper) -> Iterator[str]:
    yield line
    yield from rest
