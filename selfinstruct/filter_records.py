"""An existing set through everything that generated records must pass: rules, questions, similarity, quality."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from camelid.files.ledger import Ledger
from camelid.files.read import Record
from conversations.questions.fields import text_at, texts_at
from selfinstruct.keep.code_checker import CodeChecker
from selfinstruct.keep.leftovers import without_no_input
from selfinstruct.keep.nearness import DIFFERENT, Nearness
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
        checker: runs each record's code with its test; None for no such filter.
        nearness: how near a record may be to those before.
        with_fields: write `most_similar` and `avg_similarity`, as `generate` does.
        records: what became of the records; its examples are places.
    """

    selection: Selection
    quality: Quality | None = None
    checker: CodeChecker | None = None
    nearness: Nearness = DIFFERENT
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
        if self.checker:
            passing = await self._passing_tests(self.checker, passing)
        if self.quality:  # about what is near a record now nobody is asked: it will be dropped
            tasks = (task for _, _, task in passing if not self._is_near(task))
            await asyncio.gather(*(self.quality.reason_to_drop(task) for task in tasks))
        kept = []
        for place, record, task in passing:
            similarity = self.selection.compare(task.instruction)
            reason = self.nearness.reason_to_drop(similarity)
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

    async def _passing_tests(
        self, checker: CodeChecker, passing: Sequence[tuple[str, Record, Task]]
    ) -> list[tuple[str, Record, Task]]:
        """Those whose code passes its test; what is near a record now is not run, it will be dropped."""

        async def reason(place: str, record: Record, task: Task) -> str | None:
            return None if self._is_near(task) else await checker.reason_to_drop(task.output, _test(record, place))

        reasons = await asyncio.gather(*(reason(*one) for one in passing))
        for (place, _, _), why in zip(passing, reasons, strict=True):
            if why:
                self._drop(why, place)
        return [one for one, why in zip(passing, reasons, strict=True) if not why]

    def _is_near(self, task: Task) -> bool:
        return self.nearness.reason_to_drop(self.selection.compare(task.instruction)) is not None

    def _drop(self, reason: str, place: str) -> None:
        self.records.drop(reason, example=place)


def _test(record: Record, place: str) -> str:
    """A record's test: `test`, or `test_list` as in MBPP; empty where it has neither.

    Raises:
        UserError: it is no text.
    """
    test = record.get("test")
    if test is None:
        test = record.get("test_list")
        lines = texts_at(test, "test_list", place) if test is not None else ()
        return "\n".join((text_at(record.get("test_setup_code") or "", "test_setup_code", place), *lines)).strip()
    return text_at(test, "test", place)
