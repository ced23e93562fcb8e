"""What a reader of raw files is: the protocol, the parts that it cuts its input into, and what it counts."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.paths import missing_file_error
from corpus.record import TextRecord


@dataclass(frozen=True)
class RawPart:
    """A piece of the input that is worked on as a whole, by one task, into one file.

    Attributes:
        name: what it is called in messages.
        paths: the files or folders that it consists of.
        left_out: why it is not read at all; empty if it is.
        size: how many things are in one that is left out.
        unit: what these are, in the plural.
    """

    name: str
    paths: tuple[str, ...]
    left_out: str = ""
    size: int = 0
    unit: str = "documents"


class ReadCounts:
    """What a reader counts while it reads: documents, and whatever else it cuts them into, each in a ledger.

    Of documents a reader counts those that it drops and what it repairs; who takes its records counts the kept ones.
    """

    def __init__(self) -> None:
        self._ledgers = {"documents": Ledger("documents")}

    @property
    def documents(self) -> Ledger:
        return self._ledgers["documents"]

    def of(self, unit: str) -> Ledger:
        """The ledger of another unit, in the plural ("lines")."""
        return self._ledgers.setdefault(unit, Ledger(unit))

    def all(self) -> list[Ledger]:
        """The ledgers, that of documents first, then by unit."""
        return [self.documents, *(self._ledgers[unit] for unit in sorted(self._ledgers) if unit != "documents")]

    def add(self, ledgers: Sequence[Ledger]) -> None:
        """Take over the counts of ledgers, by their units."""
        for ledger in ledgers:
            self.of(ledger.unit).add(ledger)


class Reader(Protocol):
    """A kind of raw files. Its fields are its settings, in a recipe and on the command line."""

    def parts(self, inputs: Sequence[Path]) -> list[RawPart]:
        """Cut the input into parts, in an order that depends on names alone.

        Raises:
            UserError: there is nothing in it that this reader reads.
        """
        ...

    def read(self, part: RawPart, source: str, counts: ReadCounts) -> Iterator[TextRecord]:
        """Yield the documents of a part in order, streaming; count those that do not come out.

        Args:
            part: of those that `parts` gave.
            source: the name that the records carry.
            counts: gets what is dropped and repaired.
        """
        ...


def find_files(inputs: Sequence[Path], endings: tuple[str, ...], what: str) -> list[Path]:
    """The files named, and those in the folders named whose names end in one of `endings`, small letters or not.

    Raises:
        UserError: an input is not there, or there is no such file in all of them.
    """
    pattern = re.compile("|".join(f".*{re.escape(ending)}" for ending in endings))
    return find_named(inputs, pattern, f"{what} (expected names that end in {', '.join(endings)})")


def find_named(inputs: Sequence[Path], pattern: re.Pattern[str], what: str) -> list[Path]:
    """As `find_files`, of names that match as a whole, in small letters."""
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            files = (file for file in path.rglob("*") if file.is_file() and pattern.fullmatch(file.name.lower()))
            found += sorted(files)
        elif path.exists():
            found.append(path)
        else:
            raise missing_file_error(path)
    if not found:
        raise UserError(f"{', '.join(map(str, inputs))}: no {what} there")
    return found


def parts_of(paths: Sequence[Path], size: int) -> list[RawPart]:
    """So many files to a part, of those that are small."""
    groups = [paths[at : at + size] for at in range(0, len(paths), size)]
    return [RawPart(str(group[0]), tuple(map(str, group))) for group in groups]


def one_part_a_file(files: Sequence[Path]) -> list[RawPart]:
    """Each file as a part by itself."""
    return [RawPart(str(path), (str(path),)) for path in files]
