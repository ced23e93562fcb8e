"""`code`: source files of checkouts, or rows that have a file's content, as LLaMA chose GitHub's (2023, 2.1)."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from camelid.errors import UserError
from camelid.files.paths import missing_file_error
from camelid.files.records import scan_records
from corpus.code.headers import language_of, strip_header
from corpus.code.licences import LICENCE_FILE, PERMISSIVE, UNKNOWN, licence_of_file, licence_of_text, spdx_name
from corpus.plain import decode_any
from corpus.reader import RawPart, ReadCounts
from corpus.record import SUFFIXES, TextRecord, mended

# Suffixes of source code and of what is written beside it. RedPajama's list has 70; this one is ours.
LANGUAGES = frozenset(
    "asm s awk bat c h cc cpp cxx hh hpp hxx cu cuh cs clj cljs cljc cmake coffee cr css dart d el ex exs elm erl hrl "
    "f90 f95 fs fsx go gradle groovy hs html java jl js jsx mjs kt kts less lisp lua m mm ml mli mk md nim pas php pl "
    "pm proto ps1 py pyx pyi r rb rs rst rkt sass scala scm scss sh bash sol sql sv svelte swift tcl tex thrift ts "
    "tsx v vala vb vhd vhdl vue zig zsh".split()
)
_SKIPPED = {".git", ".hg", ".svn", "__pycache__", ".tox", ".venv"}  # what is no file of the author's
_MAX = 8 << 20  # bytes of a file; a longer one is data


@dataclass(frozen=True)
class SourceFiles:
    """The settings; the numbers are RedPajama's, for LLaMA gives none.

    Attributes:
        licences: SPDX names of those that are taken; empty takes files under any licence and under none, as of one's
            own code.
        longest_line: characters of the longest line at most.
        mean_line: characters of the lines on average at most.
        alphanumeric: share of letters and digits at least.
        languages: suffixes of files that are taken.
        headers: whether licence headers stay.
    """

    licences: tuple[str, ...] = PERMISSIVE
    longest_line: int = 1000
    mean_line: float = 100.0
    alphanumeric: float = 0.25
    languages: tuple[str, ...] = tuple(sorted(LANGUAGES))
    headers: bool = False

    def parts(self, inputs: Sequence[Path]) -> list[RawPart]:
        found = [one for path in inputs for one in _checkouts(path)]
        if not found:
            raise UserError(
                f"{', '.join(map(str, inputs))}: no source files; expected a checkout, or rows of `content`"
            )
        return [RawPart(str(path), (str(path),)) for path in found]

    def read(self, part: RawPart, source: str, counts: ReadCounts) -> Iterator[TextRecord]:
        for path in map(Path, part.paths):
            files = _files_of(path) if path.is_dir() else _rows_of(path, counts)
            for name, content, licence in files:
                if language_of(name) not in self.languages:
                    counts.documents.drop(f"not source code: .{language_of(name)[:12] or 'no suffix'}", example=name)
                    continue
                text = _decode(content, counts)
                licence = (licence_of_file(text) if text else None) or licence
                outcome = self._reason_to_drop(text, licence)
                if outcome:
                    counts.documents.drop(outcome, example=name)
                    continue
                assert text is not None
                if not self.headers:
                    text, had = strip_header(text, name)
                    if had:
                        counts.documents.repair("licence header removed")
                if not text.strip():
                    counts.documents.drop("no text in it", example=name)
                    continue
                meta = {"path": name, "licence": licence, "suffix": language_of(name)}
                yield TextRecord(text, source, {"repository": path.name, **meta} if path.is_dir() else meta)

    def _reason_to_drop(self, text: str | None, licence: str) -> str | None:
        if text is None:
            return "binary, or larger than 8 MiB"
        if self.licences and licence not in self.licences:
            return f"licence: {licence}"
        if not text.strip():
            return "no text in it"
        lines = text.split("\n")
        if max(map(len, lines)) > self.longest_line:
            return f"a line of more than {self.longest_line} characters"
        if (len(text) - len(lines) + 1) / len(lines) > self.mean_line:
            return f"lines of more than {self.mean_line:g} characters on average"
        if sum(map(str.isalnum, text)) / len(text) < self.alphanumeric:
            return f"fewer than {self.alphanumeric:g} letters and digits a character"
        return None


def _checkouts(path: Path) -> list[Path]:
    """The checkouts at a path: itself, if it has a `.git`, a licence or files; else what its folders are."""
    if not path.exists():
        raise missing_file_error(path)
    if path.is_file():
        return [path]
    entries = sorted(path.iterdir())
    rows = [entry for entry in entries if entry.is_file() and entry.name.endswith(SUFFIXES)]
    if rows and len(rows) == sum(entry.is_file() for entry in entries):
        return rows
    if any(entry.is_file() or entry.name == ".git" for entry in entries):
        return [path]
    return [one for entry in entries if entry.is_dir() and entry.name not in _SKIPPED for one in _checkouts(entry)]


def _files_of(folder: Path) -> Iterator[tuple[str, bytes, str]]:
    """Path, content and licence of each file, by path; the licence is that of the nearest folder that has one."""
    licences: dict[Path, str] = {}
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        place = Path(here)
        own = sorted(name for name in names if LICENCE_FILE.fullmatch(name))
        texts = [(place / name).read_bytes().decode("utf-8", "replace") for name in own if (place / name).is_file()]
        found = next((one for one in map(licence_of_text, texts) if one != UNKNOWN), None)
        licences[place] = found or licences.get(place.parent, UNKNOWN)
        for name in sorted(names):
            path = place / name
            if path.is_file() and not path.is_symlink():
                content = path.read_bytes() if path.stat().st_size <= _MAX else b"\0"
                yield path.relative_to(folder).as_posix(), content, licences[place]


def _rows_of(path: Path, counts: ReadCounts) -> Iterator[tuple[str, bytes, str]]:
    """Rows as of BigQuery's table of GitHub, or The Stack: `content`, `path` and `license`; or one file of code."""
    if not path.name.endswith(SUFFIXES):
        yield path.name, path.read_bytes() if path.stat().st_size <= _MAX else b"\0", UNKNOWN
        return
    for place, row in scan_records(path):
        content = None if isinstance(row, UserError) else row.get("content", row.get("text"))
        if isinstance(row, UserError) or not isinstance(content, str):
            counts.documents.drop("unreadable record", example=str(row) if isinstance(row, UserError) else place)
            continue
        named = next(
            (row[key] for key in ("path", "max_stars_repo_path", "file_name") if isinstance(row.get(key), str)), ""
        )
        licence = row.get("license", row.get("max_stars_repo_licenses", row.get("licenses")))
        if isinstance(licence, list):
            licence = licence[0] if licence else None
        yield named, content.encode("utf-8", "replace"), spdx_name(licence) if isinstance(licence, str) else UNKNOWN


def _decode(content: bytes, counts: ReadCounts) -> str | None:
    """Text; None for what is none."""
    if b"\0" in content[:8192]:
        return None
    try:
        return mended(content.decode("utf-8-sig").replace("\r\n", "\n"))
    except UnicodeDecodeError:
        return decode_any(content, counts)
