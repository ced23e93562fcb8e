"""One source from raw files to a folder of texts: read, duplicates out, rules, counted; killed and gone on with.

The folder gets `data/*.jsonl.gz`, a file a part, and `ledger.json`; `work/` is what is between, and goes at the end.
"""

import io
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from camelid.files.ledger import Ledger
from camelid.files.read import read_json
from camelid.files.write import write_bytes, write_json, write_packed_jsonl
from corpus.dedup.way import DedupWay, PartFiles
from corpus.facts import Facts
from corpus.keep import KeepRules, keep_records
from corpus.reader import RawPart, ReadCounts, Reader
from corpus.record import TextRecord, read_texts
from corpus.stages import WorkStage

LEDGER = "ledger.json"


@dataclass(frozen=True)
class SourceRun:
    """What is done with one source.

    Attributes:
        name: of the source, which its records carry.
        folder: where all of it goes.
        parts: of the raw input, in order.
        reader: of them; None where they are files of records already.
        rules: of which documents stay.
        dedup: how duplicates are found; None for no search.
        tokenizer: to count tokens with; None to leave them uncounted.
        asked: what the ledger shall say of all this.
    """

    name: str
    folder: Path
    parts: tuple[RawPart, ...]
    reader: Reader | None
    rules: KeepRules = field(default_factory=KeepRules)
    dedup: DedupWay | None = None
    tokenizer: str | None = None
    asked: dict[str, Any] = field(default_factory=dict)

    def stages(self, tasks: int) -> list[WorkStage]:
        """The stages, none if all is done."""
        if (self.folder / LEDGER).exists():
            shutil.rmtree(self.folder / "work", ignore_errors=True)  # if it was killed just then
            return []
        shared = max(1, min(tasks, len(self.parts)))
        before = [
            WorkStage(f"{self.name}-read", partial(_each, self, _read), shared),
            WorkStage(f"{self.name}-sketch", partial(_each, self, _sketch), shared),
            WorkStage(f"{self.name}-decide", partial(_decide, self)),
        ]
        write = WorkStage(f"{self.name}-write", partial(_each, self, _write), shared)
        return [*(before if self.dedup else []), write, WorkStage(f"{self.name}-finish", partial(_finish, self))]

    def files(self, number: int) -> PartFiles:
        """Where a part is between the stages."""
        texts = self._work("read", number, ".jsonl.gz") if self.reader else Path(self.parts[number].paths[0])
        return PartFiles(texts, self._work("sketch", number, ".npz"), self._work("removed", number, ".npy"))

    def data(self, number: int) -> Path:
        return self.folder / "data" / f"{number:05d}.jsonl.gz"

    def counted(self, stage: str, number: int) -> Path:
        """The ledger of a part after a stage: that it is there says that the part is done."""
        return self._work(stage, number, ".json")

    def _work(self, stage: str, number: int, ending: str) -> Path:
        return self.folder / "work" / stage / f"{number:05d}{ending}"


def _each(run: SourceRun, work: Any, rank: int, world: int) -> None:
    for number in range(rank, len(run.parts), world):
        work(run, number)


def _read(run: SourceRun, number: int) -> None:
    """Raw files to texts, to look for duplicates among. Without that `_write` reads them itself."""
    done = run.counted("read", number)
    if done.exists():
        return
    counts = ReadCounts()

    def texts() -> Iterator[Any]:
        for record in _raw(run, number, counts):
            counts.documents.keep()
            yield record.to_json()

    if run.reader is not None:
        write_packed_jsonl(run.files(number).texts, texts())
    else:
        counts.documents.keep(sum(1 for _ in read_texts(run.files(number).texts)))
    _write_counts(done, counts, Facts())


def _raw(run: SourceRun, number: int, counts: ReadCounts) -> Iterator[TextRecord]:
    part = run.parts[number]
    if part.left_out:
        counts.of(part.unit).drop(part.left_out, part.size, part.name)
    elif run.reader is None:
        yield from (record for _, record in read_texts(part.paths[0]))
    else:
        yield from run.reader.read(part, run.name, counts)


def _sketch(run: SourceRun, number: int) -> None:
    files = run.files(number)
    if files.sketch.exists() or run.dedup is None:
        return
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **run.dedup.sketch(record for _, record in read_texts(files.texts)))
    write_bytes(files.sketch, buffer.getvalue())


def _decide(run: SourceRun, rank: int, world: int) -> None:
    files = [run.files(number) for number in range(len(run.parts))]
    if run.dedup is None or all(one.removed.exists() for one in files):
        return
    for one, removed in zip(files, run.dedup.decide(files), strict=True):
        buffer = io.BytesIO()
        np.save(buffer, removed, allow_pickle=False)
        write_bytes(one.removed, buffer.getvalue())


def _write(run: SourceRun, number: int) -> None:
    """The texts that stay, and what became of the others."""
    done = run.counted("write", number)
    if done.exists():
        return
    counts, facts = ReadCounts(), Facts()
    kept = keep_records(run.rules, _left(run, number, counts), counts.documents)
    if write_packed_jsonl(run.data(number), _counted(run, kept, facts)) == 0:
        run.data(number).unlink()
    _write_counts(done, counts, facts)


def _left(run: SourceRun, number: int, counts: ReadCounts) -> Iterable[TextRecord]:
    if run.dedup is None:
        return _raw(run, number, counts)
    files = run.files(number)
    return run.dedup.apply((record for _, record in read_texts(files.texts)), np.load(files.removed), counts)


def _counted(run: SourceRun, records: Iterable[TextRecord], facts: Facts) -> Iterator[Any]:
    for record in records:
        tokens = None
        if run.tokenizer is not None:
            tokens = len(_tokenizer(run.tokenizer).encode(record.text, add_special_tokens=False))
        facts.count(record, tokens)
        yield record.to_json()


@cache
def _tokenizer(name: str) -> Any:
    from conversations.tokens.open_tokenizer import open_tokenizer

    return open_tokenizer(name)


def _write_counts(path: Path, counts: ReadCounts, facts: Facts) -> None:
    write_json(path, {"ledgers": [ledger.to_json() for ledger in counts.all()], "facts": facts.to_json()})


def _finish(run: SourceRun, rank: int, world: int) -> None:
    """Add up all parts into `ledger.json`; what was between goes."""
    facts, before, after = Facts(), ReadCounts(), ReadCounts()
    for number in range(len(run.parts)):
        if run.dedup is not None:
            before.add([Ledger.from_json(one) for one in read_json(run.counted("read", number))["ledgers"]])
        counted = read_json(run.counted("write", number))
        after.add([Ledger.from_json(one) for one in counted["ledgers"]])
        facts.add(Facts.from_json(counted["facts"]))
    ledgers = in_a_row(before.all(), after.all()) if run.dedup is not None else after.all()
    content = {"ledgers": [one.to_json() for one in ledgers], "facts": facts.to_json(), "asked": run.asked}
    write_json(run.folder / LEDGER, content)
    shutil.rmtree(run.folder / "work", ignore_errors=True)


def in_a_row(first: Sequence[Ledger], second: Sequence[Ledger]) -> list[Ledger]:
    """The ledgers of two steps as those of one: what the second drops, the first has kept."""
    sums = {ledger.unit: ledger for ledger in first}
    for ledger in second:
        if ledger.unit in sums and sums[ledger.unit].kept:
            sums[ledger.unit].kept -= ledger.read
        sums.setdefault(ledger.unit, Ledger(ledger.unit)).add(ledger)
    return list(sums.values())
