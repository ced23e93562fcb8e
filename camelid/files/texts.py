"""Raw text: plain files, each one document, and files of records with a `text` field (JSON Lines, Parquet, ...)."""

from collections.abc import Iterator
from pathlib import Path

from camelid.errors import UserError
from camelid.files.paths import missing_file_error
from camelid.files.read import open_binary
from camelid.files.records import read_records
from camelid.files.unpack import unpacked_name

PLAIN = (".txt", ".md")
RECORDS = (".jsonl", ".json", ".ndjson", ".parquet", ".csv", ".tsv")


def read_texts(path: str | Path) -> Iterator[tuple[str, str]]:
    """Yield `(place, text)` of every document of a file, or of all files in a folder by their names.

    In a folder that `camelid corpus` wrote, or one of several such, they are in `data/`; the rest is about them.

    Raises:
        UserError: a file is missing, of no known kind, broken, or not UTF-8; a record has no string `text`.
    """
    path = Path(path)
    if not path.exists():
        raise missing_file_error(path)
    if path.is_dir() and not _saved_by_datasets(path):
        corpora = [ledger.with_name("data") for ledger in sorted(path.rglob("ledger.json"))]
        roots = [folder for folder in corpora if folder.is_dir()] or [path]
        inside = [(root, file) for root in roots for file in sorted(root.rglob("*")) if file.is_file()]
        files = [file for root, file in inside if not _is_hidden(file.relative_to(root))]
        if not files:
            raise UserError(f"{path}: no files in this folder")
        for file in files:
            yield from read_texts(file)
    elif path.is_dir() or unpacked_name(path).lower().endswith(RECORDS):
        for place, record in read_records(path):
            text = record.get("text")
            if not isinstance(text, str):
                found = f"found {type(text).__name__}" if "text" in record else f"its fields are {', '.join(record)}"
                raise UserError(f"{place}: field 'text' must be a string, {found}")
            yield place, text
    elif not unpacked_name(path).lower().endswith(PLAIN):
        known = ", ".join((*PLAIN, *RECORDS))
        raise UserError(f"{path}: neither text nor records by its name ({known}, packed or not); rename or move it")
    else:
        yield str(path), read_plain(path)


def read_plain(path: Path) -> str:
    """The text of a plain file, perhaps packed.

    Raises:
        UserError: it is not UTF-8.
    """
    with open_binary(path) as file:
        try:
            return file.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not UTF-8 text (byte {error.start}); convert the file to UTF-8") from None


def _saved_by_datasets(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json"))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)
