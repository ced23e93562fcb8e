"""De-duplication and decontamination of a folder of records: the first and last steps around datatrove's MinHash."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.io import get_datafolder
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.filters import LambdaFilter

from camelid.files.ledger import Ledger
from camelid.files.read import read_json
from camelid.files.write import dumps
from camelid.text.corpus_kind import CorpusKind, ReasonToDrop
from camelid.text.datatrove_runs import PipelineStage, minhash_stages


def dedup_stages(
    kind: CorpusKind, source: str, output: str, reason_to_drop: ReasonToDrop | None, tasks: int
) -> list[PipelineStage]:
    """The stages that write what is left of a folder of records.

    Args:
        kind: of the records.
        source: folder with `.jsonl` files, also compressed; any file system fsspec knows.
        output: folder for `data/`, and `work/` for what is between the stages.
        reason_to_drop: for what else shall not be kept.
        tasks: pieces that the files of `source` are shared out to.
    """
    read = partial(read_documents, folder=source, kind=kind)
    before: list[Any] = [read]
    after: list[Any] = [LambdaFilter(partial(_is_kept, reason_to_drop=reason_to_drop))] if reason_to_drop else []
    if kind.parts:
        before.append(CountParts(kind.parts.count, "parts read"))
        after.append(CountParts(kind.parts.count, "parts kept"))
    after.append(partial(write_records, folder=f"{output}/data"))
    folders = [f"{output}/work/{name}" for name in ("signatures", "pairs", "clusters")]
    return minhash_stages(read, before, after, kind.comparison, folders, tasks)


def record_files(folder: str) -> tuple[list[str], list[str]]:
    """The files of a folder that hold records, and those in which `generate` keeps other things beside its own."""
    paths = get_datafolder(folder).list_files(recursive=True, glob_pattern="*.jsonl*")
    journals = [path for path in paths if re.search(r"\.(journal|candidates|conversations)\.jsonl", path)]
    return [path for path in paths if path not in journals], journals


def read_documents(data: Any, rank: int, world_size: int, folder: str, kind: CorpusKind) -> Iterator[Document]:
    """A pipeline's first step: every `world_size`-th file from `rank` on, strictly.

    Raises:
        UserError: a line is no record of this kind.
    """
    source = get_datafolder(folder)
    records, _ = record_files(folder)
    for path in records[rank::world_size]:
        for place, record in kind.read(source, path):
            yield Document(kind.text(record, place), place, metadata={"record": record})


def _is_kept(document: Document, reason_to_drop: ReasonToDrop) -> bool | tuple[bool, str]:
    reason = reason_to_drop(document.metadata["record"])
    return (False, reason) if reason else True


class CountParts(PipelineStep):  # type: ignore[misc]
    """Passes the records on and counts what they consist of, under a label in the statistics."""

    type, name = "COUNT", "Camelid: parts of records"

    def __init__(self, count: Callable[[Any], int], label: str) -> None:
        super().__init__()
        self.count, self.label = count, label

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for document in data:
            self.stat_update(self.label, value=self.count(document.metadata["record"]))
            yield document


def write_records(data: Any, rank: int, world_size: int, folder: str) -> Iterator[Document]:
    """A pipeline's last step: the records as they were, one file for each task."""
    with get_datafolder(folder).open(f"{rank:05d}.jsonl.gz", "wt", compression="gzip", encoding="utf-8") as file:
        for document in data:
            file.write(dumps(document.metadata["record"]) + "\n")
            yield document


def read_ledgers(logs: Path, kind: CorpusKind) -> list[Ledger] | None:
    """What became of the records and their parts, from the statistics of the last stage; None while it is not done.

    Every task's own are added up: once a run was stopped and gone on with, datatrove's sum has the later tasks alone.
    """
    if not (logs / "filter" / "stats.json").exists():
        return None
    counts, parts = Ledger(kind.unit), Counter[str]()
    tasks = sorted((logs / "filter" / "stats").glob("*.json"))
    for step in (step for path in tasks for step in read_json(path)):
        stats = {name: value["total"] if isinstance(value, dict) else value for name, value in step["stats"].items()}
        if "MinHash" in step["name"]:
            counts.keep(stats.get("forwarded", 0))
            counts.drop(kind.duplicate, stats.get("dropped", 0))
        for name, count in stats.items():
            if name.startswith("dropped_"):
                counts.drop(name.removeprefix("dropped_"), count)
                counts.keep(-count)
            elif name.startswith("parts "):
                parts[name] += count
    if not kind.parts:
        return [counts]
    of_parts = Ledger(kind.parts.unit, parts["parts kept"])
    if gone := parts["parts read"] - parts["parts kept"]:
        of_parts.drop(kind.parts.dropped, gone)
    return [counts, of_parts]
