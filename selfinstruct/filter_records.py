"""An existing set through everything that generated records must pass: rules, questions, similarity, quality."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from camelid.files.ledger import Ledger
from camelid.files.read import Record
from selfinstruct.keep.leftovers import without_no_input
from selfinstruct.keep.nearness import DIFFERENT
from selfinstruct.keep.quality import Quality
from selfinstruct.keep.selection import Selection
from selfinstruct.seeds import Task, read_task

CHUNK = 256  # records whose similarity and quality are looked at together
NO_INPUT = "input said that there is none: emptied"


@dataclass
class RecordFilter:
    """A pass over a set, in its order.

    Attributes:
        selection: decides about each record.
        quality: scores what the selection would keep; None for no such filter.
        with_fields: write `most_similar` and `avg_similarity`, as `generate` does.
        records: what became of the records; its examples are places.
    """

    selection: Selection
    quality: Quality | None = None
    with_fields: bool = False
    records: Ledger = field(default_factory=lambda: Ledger("records"))

    async def run(self, placed: Iterable[tuple[str, Record]]) -> list[Record]:
        """The records that are kept, with all their fields; ends early if the quality model fails for good.

        Raises:
            UserError: a record has no instruction, or a field is no text.
        """
        kept: list[Record] = []
        places = iter(placed)
        while chunk := list(islice(places, CHUNK)):
            kept += await self._keep(list(self._passing(chunk)))
            if self.stopped:
                break
        return kept

    @property
    def stopped(self) -> str | None:
        """Why the rest was not looked at; None if all was."""
        fatal = self.quality.fatal if self.quality else None
        return f"quality model: {fatal.kind}: {fatal.detail}" if fatal else None

    def _passing(self, chunk: Iterable[tuple[str, Record]]) -> Iterator[tuple[str, Record, Task]]:
        """Those that nothing is wrong with by themselves."""
        for place, record in chunk:
            task = read_task(record, place)
            cleaned = replace(task, input=without_no_input(task.input))
            if reason := self.selection.reason_to_drop(cleaned):
                self._drop(reason, place)
                continue
            if cleaned != task:
                self.records.repair(NO_INPUT)
                record = {**record, "input": ""}
            yield place, record, cleaned

    async def _keep(self, passing: Sequence[tuple[str, Record, Task]]) -> list[Record]:
        """Those that differ from what is kept, and are good enough."""
        self.selection.look_ahead([task.instruction for _, _, task in passing])
        if self.quality:  # about what is near a record now nobody is asked: it will be dropped
            tasks = (task for _, _, task in passing if not self._is_near(task))
            await asyncio.gather(*(self.quality.reason_to_drop(task) for task in tasks))
        kept = []
        for place, record, task in passing:
            similarity = self.selection.compare(task.instruction)
            reason = DIFFERENT.reason_to_drop(similarity)
            if not reason and self.quality:
                reason = await self.quality.reason_to_drop(task)
            if reason:
                self._drop(reason, place)
                continue
            self.selection.add(task.instruction)
            self.records.keep()
            fields = {"most_similar": similarity.most_similar, "avg_similarity": similarity.average}
            kept.append({**record, **fields} if self.with_fields else record)
        return kept

    def _is_near(self, task: Task) -> bool:
        return DIFFERENT.reason_to_drop(self.selection.compare(task.instruction)) is not None

    def _drop(self, reason: str, place: str) -> None:
        self.records.drop(reason, example=place)
