"""Files of records: JSON Lines, one JSON document, CSV, Parquet, saved `datasets` folders. All are streamed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.csv_table import scan_csv
from camelid.files.json_array import WRAPPER, scan_json_array, scan_json_objects
from camelid.files.paths import missing_file_error
from camelid.files.read import MAX_RECORD, Record, first_character, open_binary, scan_jsonl
from camelid.files.unpack import unpacked_name

_WRAPPED = re.compile(rb'\xef?\xbb?\xbf?\s*\{\s*"' + WRAPPER.encode() + rb'"\s*:\s*\[\s*\{')
_ROWS = 256  # rows of a table turned into records at a time


def read_records(path: str | Path) -> Iterator[tuple[str, Record]]:
    """Yield `(place, record)` strictly: the first bad record is an error that names its place."""
    for place, record in scan_records(path):
        if isinstance(record, UserError):
            raise record
        yield place, record


def scan_records(path: str | Path) -> Iterator[tuple[str, Record | UserError]]:
    """Yield `(place, record)`; a record that cannot be read yields its error instead, where reading can go on.

    Raises:
        UserError: the file is missing, is of no known kind, or is broken where it cannot be read on.
    """
    path = Path(path)
    if path.is_dir():
        yield from _dataset(path)
    elif path.suffix == ".parquet":
        yield from _parquet(path)
    elif path.is_file() and unpacked_name(path).lower().endswith((".csv", ".tsv")):
        yield from scan_csv(path)
    elif first_character(path) == "[":
        yield from scan_json_array(path)
    elif _takes_several_lines(path):
        yield from scan_json_objects(path)
    else:
        yield from scan_jsonl(path)


def _takes_several_lines(path: Path) -> bool:
    """Whether a file that begins with `{` is no JSON Lines: an object goes on below its first line, or is all records.

    Where a string breaks off at the end of the first line, that line is a broken one of JSON Lines.
    """
    with open_binary(path) as file:
        line = next((line for line in iter(lambda: file.readline(MAX_RECORD + 1), b"") if line.strip()), b"")
        more = bool(file.read(4096).strip())
    if len(line) > MAX_RECORD:
        return _WRAPPED.match(line) is not None
    text = line.decode("utf-8-sig", "replace").rstrip()
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return more and error.pos >= len(text)
    except (RecursionError, ValueError):
        return False
    held = value.get(WRAPPER) if isinstance(value, dict) else None
    return not more and isinstance(held, list) and bool(held) and isinstance(held[0], dict)


def _parquet(path: Path) -> Iterator[tuple[str, Record]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield from _rows(file.iter_batches(_ROWS), path)
    except FileNotFoundError:
        raise missing_file_error(Path(path)) from None
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: broken Parquet file: {str(error).splitlines()[0]}") from None


def _dataset(path: Path) -> Iterator[tuple[str, Record]]:
    """A folder made by `save_to_disk`: one data set, or several splits, which are read one after the other."""
    if not any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
        raise UserError(f"{path}: a folder, but none that datasets.save_to_disk made; name the files inside it")
    from datasets import DatasetDict, load_from_disk  # seconds to import

    try:
        data = load_from_disk(str(path))
    except Exception as error:  # whatever pyarrow, fsspec or json say about a damaged folder
        raise UserError(f"{path}: broken data set folder: {error}") from None
    splits = {path / name: split for name, split in data.items()} if isinstance(data, DatasetDict) else {path: data}
    for place, split in splits.items():
        yield from _rows(split.with_format("arrow").iter(_ROWS), place)


def _rows(batches: Any, path: Path) -> Iterator[tuple[str, Record]]:
    index = 0
    for batch in batches:
        for record in batch.to_pylist():
            yield f"{path}[{index}]", record
            index += 1
