"""The records of an evaluation's file, whatever it is packed in."""

from collections.abc import Iterator
from pathlib import Path

from camelid.files.read import Record
from camelid.files.records import read_records


def read_file_records(path: str | Path) -> Iterator[tuple[str, Record]]:
    """Yield `(place, record)` of JSON Lines or a JSON array.

    Raises:
        UserError: the file is missing or broken.
    """
    yield from read_records(path)
