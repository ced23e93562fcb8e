"""A text to pre-train on: the record that every reader yields, and files and folders of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.encodable import mend_text
from camelid.files.paths import missing_file_error
from camelid.files.read import Record
from camelid.files.records import read_records

# What holds records, by name; `.ledger.json` and the like lie beside them.
SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson", ".parquet")


@dataclass(frozen=True, slots=True)
class TextRecord:
    """One document of a corpus.

    Attributes:
        text: all that is trained on.
        source: the name of its source in the mixture (`wikipedia`).
        meta: where it is from (url, title, date) and what was found out (language, licence), never trained on.
    """

    text: str
    source: str
    meta: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> Record:
        return {"text": self.text, "source": self.source, "meta": self.meta}

    @staticmethod
    def from_json(record: Record, place: str) -> "TextRecord":
        """Raises: UserError: there is no text in it."""
        text, source, meta = record.get("text"), record.get("source", ""), record.get("meta")
        if not isinstance(text, str):
            raise UserError(f"{place}: field 'text' must be a string, found {text!r:.80}")
        if not isinstance(source, str) or not isinstance(meta, dict):  # of others: what they call it goes to meta
            meta = {name: value for name, value in record.items() if name != "text"}
            source = source if isinstance(source, str) else ""
        return TextRecord(text, source, meta)


def text_files(path: str | Path) -> list[Path]:
    """The files of records in a folder, in the order of their names; a file is itself.

    Of a folder that `corpus` wrote these are the files in its `data/`; what is under `work/` is not meant.

    Raises:
        UserError: there are none.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.exists():
        raise missing_file_error(path)
    inside = path / "data" if (path / "data").is_dir() else path
    found = sorted(file for file in inside.rglob("*") if file.name.endswith(SUFFIXES) and file.is_file())
    if not found:
        raise UserError(f"{path}: no files of records in it ({', '.join(SUFFIXES)})")
    return found


def read_texts(path: str | Path) -> Iterator[tuple[str, TextRecord]]:
    """Yield `(place, record)` of a file or a folder of them, strictly.

    Raises:
        UserError: no such file, or a record in it has no text.
    """
    for file in text_files(path):
        for place, record in read_records(file):
            yield place, TextRecord.from_json(record, place)


def mended(text: str) -> str:
    """The text as files can hold it: no half of a surrogate pair, no NUL."""
    return mend_text(text)[0].replace("\0", "")
