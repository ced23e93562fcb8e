"""`text`: records that have a text, and folders of `.txt` and `.md` files, as they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from camelid.errors import UserError
from camelid.files.read import open_binary
from camelid.files.records import scan_records
from corpus.reader import RawPart, ReadCounts, find_files, one_part_a_file, parts_of
from corpus.record import SUFFIXES, TextRecord, mended

_FILES = 1000  # texts that one part holds
_TEXTS = (".txt", ".md", ".txt.gz", ".text")
ENCODINGS = ("utf-8-sig", "cp1252", "latin-1")  # the last one reads any bytes


@dataclass(frozen=True)
class PlainTexts:
    """The settings.

    Attributes:
        field: of records, the one that holds the text.
    """

    field: str = "text"

    def parts(self, inputs: Sequence[Path]) -> list[RawPart]:
        files = find_files(inputs, (*SUFFIXES, *_TEXTS, ".json", ".csv"), "texts")
        plain = [path for path in files if path.name.lower().endswith(_TEXTS)]
        return parts_of(plain, _FILES) + one_part_a_file([path for path in files if path not in set(plain)])

    def read(self, part: RawPart, source: str, counts: ReadCounts) -> Iterator[TextRecord]:
        for path in part.paths:
            if path.lower().endswith(_TEXTS):
                text = read_any_text(path, counts)
                records: Iterator[TextRecord] = iter([TextRecord(text, source, {"path": path})])
            else:
                records = self._records(path, source, counts)
            for record in records:
                if record.text.strip():
                    yield record
                else:
                    counts.documents.drop("no text in it", example=str(record.meta))

    def _records(self, path: str, source: str, counts: ReadCounts) -> Iterator[TextRecord]:
        for place, record in scan_records(path):
            if isinstance(record, UserError):
                counts.documents.drop("unreadable record", example=str(record))
                continue
            text = record.get(self.field)
            if not isinstance(text, str):
                counts.documents.drop("unreadable record", example=f"{place}: field {self.field!r} is no string")
                continue
            meta = record.get("meta")
            rest = {name: value for name, value in record.items() if name not in (self.field, "source", "meta")}
            yield TextRecord(mended(text), source, {**(meta if isinstance(meta, dict) else {}), **rest})


def read_any_text(path: str | Path, counts: ReadCounts) -> str:
    """A file's text: UTF-8, or else what Windows and Unix wrote before it, which is counted."""
    with open_binary(path) as file:
        return decode_any(file.read(), counts)


def decode_any(content: bytes, counts: ReadCounts) -> str:
    """Bytes as text, in the first of `ENCODINGS` that reads them; another than UTF-8 is counted."""
    for encoding in ENCODINGS:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != ENCODINGS[0]:
            counts.documents.repair(f"text that was {encoding}, not UTF-8")
        return mended(text.replace("\r\n", "\n"))
    raise AssertionError("latin-1 reads any bytes")
