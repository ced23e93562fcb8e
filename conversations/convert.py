"""Files of exported chats into clean conversations, with what became of every record."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from camelid.files.ledger import Ledger
from camelid.in_order import map_in_order
from camelid.message import Conversation
from camelid.text.minhash import NearDuplicates
from conversations.batch import (
    BatchResult,
    Cleaned,
    ConversionWork,
    RecordBatch,
    cut_into_batches,
    drop_kept,
    process_batch,
)
from conversations.formats.readers import scan_chats
from conversations.unique_ids import with_unique_id

_AHEAD = 3  # batches waiting for each worker


@dataclass
class Conversion:
    """Counts of one run; complete when its conversations have been drawn.

    Attributes:
        conversations: what became of every record, or of every branch of a record that is a tree.
        turns: what became of every turn.
        faults: for each unreadable record, its place and what is wrong with it.
    """

    conversations: Ledger = field(default_factory=lambda: Ledger("conversations"))
    turns: Ledger = field(default_factory=lambda: Ledger("turns"))
    faults: list[str] = field(default_factory=list)

    def run(
        self,
        paths: Iterable[str | Path],
        work: ConversionWork | None = None,
        repeats: bool = False,
        near_duplicates: float | None = None,
        workers: int = 1,
    ) -> Iterator[Conversation]:
        """Yield the clean conversations of some files, in order, whatever the number of workers.

        Args:
            paths: files in any format that `conversations.formats.readers` knows.
            work: what is done with each record.
            repeats: keep conversations that repeat one before, turn by turn.
            near_duplicates: estimated similarity from which the later of two is dropped; None to keep both.
            workers: processes.

        Raises:
            UserError: a file is missing, or is broken where it cannot be read on.
        """
        work = replace(work or ConversionWork(), signatures=near_duplicates is not None)
        similar = NearDuplicates(near_duplicates) if near_duplicates is not None else None
        seen: set[bytes] = set()
        ids: set[str] = set()
        records = (record for path in paths for record in scan_chats(path))
        for result in _in_order(partial(process_batch, work), cut_into_batches(records), workers):
            self.conversations.add(result.dropped)
            self.turns.add(result.turns)
            self.faults += result.faults
            for cleaned in result.cleaned:
                if not repeats and cleaned.digest in seen:
                    self._drop(cleaned, "exact repeat of one before")
                elif similar and similar.is_near_duplicate(cleaned.minhash):
                    self._drop(cleaned, "near-duplicate of one before")
                else:
                    seen.add(cleaned.digest)
                    self.conversations.keep()
                    yield with_unique_id(cleaned.conversation, ids, self.conversations)

    def _drop(self, cleaned: Cleaned, reason: str) -> None:
        self.conversations.drop(reason)
        drop_kept(self.turns, cleaned.turns)


def _in_order(work: "partial[BatchResult]", batches: Iterator[RecordBatch], workers: int) -> Iterator[BatchResult]:
    """The results of all batches in their order; only a few batches are held at a time."""
    if workers == 1:
        yield from map(work, batches)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from map_in_order(pool, work, batches, _AHEAD * workers)
