"""What all methods share: ask, count, select, keep; exactly as many records as asked for, every drop counted."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from camelid.files.ledger import Ledger
from camelid.files.read import Record
from camelid.models.llm import FATAL, Failure, Reply, Request, complete_in_order
from camelid.models.model_run import ModelRun
from camelid.models.spend import CostEstimate
from camelid.progress import Progress
from selfinstruct.keep.quality import Quality
from selfinstruct.keep.rouge import LIMIT, Similarity
from selfinstruct.keep.selection import TOO_SIMILAR, Selection
from selfinstruct.seeds import Task

BARREN = 200  # replies in a row without a single record after which a run gives up
ENOUGH = "not needed: the run had ended"


@dataclass
class GenerationRun:
    """A generation run under way.

    Attributes:
        model: the teacher.
        selection: decides which tasks are kept.
        count: records wanted.
        quality: scores what the selection would keep; None for no such filter.
        bar: the progress display.
        records: instruction records with `id`, `most_similar`, `avg_similarity`, `request`, `model`.
        replies: what became of the requests.
        tasks: what became of the tasks in the replies.
        instructions: what became of the instructions, where a method makes them in a step of their own.
        stopped: why the run ends before it has all records; None while it goes on or when it has them.
    """

    model: ModelRun
    selection: Selection
    count: int
    quality: Quality | None = None
    bar: Progress | None = None
    records: list[Record] = field(default_factory=list)
    replies: Ledger = field(default_factory=lambda: Ledger("replies"))
    tasks: Ledger = field(default_factory=lambda: Ledger("records"))
    instructions: Ledger | None = None
    stopped: str | None = None

    def __post_init__(self) -> None:
        self._estimate = CostEstimate(self.model.price, self.count)
        self._announced = False
        self._failed: list[tuple[Request, Failure]] = []  # since the last reply

    @property
    def ledgers(self) -> list[Ledger]:
        return [self.replies, *([self.instructions] if self.instructions else []), self.tasks]

    @property
    def ended(self) -> bool:
        return self.stopped is not None or len(self.records) == self.count

    async def ask(
        self,
        requests: Iterable[Request],
        needed: Callable[[], int] | None = None,
        tasks_of: Callable[[Reply], Sequence[Task]] | None = None,
    ) -> AsyncGenerator[tuple[Request, Reply]]:
        """Yield the replies, in the order of their requests, until the run has ended; failures are counted.

        In order, the records follow from the arguments and the replies alone, however the replies arrive.

        Args:
            requests: asked lazily; may be endless.
            needed: how many more replies the method expects to use.
            tasks_of: for replies that give records; their tasks are scored as soon as they arrive, and `BARREN`
                replies without a record end the run.
        """
        if self.ended:
            return
        barren = 0
        llm = _ScoredAhead(self, tasks_of) if self.quality and tasks_of else self.model
        async with aclosing(complete_in_order(llm, requests, self.model.concurrency, needed)) as done:
            async for request, result in done:
                before = len(self.records)
                if isinstance(result, Failure):
                    self.count_failure(request, result)
                else:
                    self.replies.keep()
                    await self._keep_failures()
                    yield request, result
                barren = 0 if len(self.records) > before else barren + 1
                if tasks_of and barren >= BARREN and not self.ended:
                    self.stopped = f"{BARREN} replies in a row gave no new record; the ledger says why"
                self._show(result, len(self.records) - before)
                if self.ended:
                    return

    def count_failure(self, request: Request, failure: Failure) -> None:
        """Count a failure; end the run if every other request would fail too."""
        self.replies.drop(failure.kind)
        if failure.kind in FATAL:
            self.stopped = f"{failure.kind}: {failure.detail}"
        else:
            self._failed.append((request, failure))

    async def _keep_failures(self) -> None:
        """Now that a later request got a reply, the run goes on without those that failed, in a replay too."""
        failed, self._failed = self._failed, []
        for request, failure in failed:
            await self.model.keep(request, failure)

    async def answers(self, requests: Sequence[Request]) -> dict[int, Reply]:
        """The replies by `Request.sample`, which must differ; a request without one has failed and is counted."""
        return {request.sample: reply async for request, reply in self.ask(requests)}

    async def keep_passing(self, tasks: Sequence[Task], request: int, model: str, **facts: object) -> None:
        """Keep the tasks that pass, up to the number wanted.

        Args:
            tasks: as parsed from one reply.
            request: number of the request.
            model: who wrote them.
            facts: further fields of the records.
        """
        self.selection.look_ahead([task.instruction for task in tasks])
        for task in tasks:
            if self.ended:
                self.tasks.drop(ENOUGH)
            elif reason := self.selection.reason_to_drop(task):
                self.tasks.drop(reason)
            elif (similarity := self.selection.compare(task.instruction)).highest > LIMIT:
                self.tasks.drop(TOO_SIMILAR)
            elif reason := await self.quality_reason(task):
                self.tasks.drop(reason)
            else:
                self.selection.add(task.instruction)
                self.add_record(task, similarity, request, model, **facts)

    def add_record(self, task: Task, similarity: Similarity, request: int, model: str, **facts: object) -> None:
        """Add a record of a task that has passed everything; the arguments are `keep_passing`'s."""
        self.tasks.keep()
        self.records.append(
            {
                "id": f"task_{len(self.records):06d}",
                "instruction": task.instruction,
                "input": task.input,
                "output": task.output,
                "most_similar": similarity.most_similar,
                "avg_similarity": similarity.average,
                "request": request,
                "model": model,
                **facts,
            }
        )

    async def score_ahead(self, tasks: Iterable[Task]) -> None:
        """Ask for the quality of tasks at the same time, so that `quality_reason` has it ready."""
        if self.quality:
            await asyncio.gather(*(self.quality.reason_to_drop(task) for task in tasks))

    async def quality_reason(self, task: Task) -> str | None:
        """The quality filter's reason to drop a task, or None; ends the run if nothing can be scored any more."""
        reason = await self.quality.reason_to_drop(task) if self.quality else None
        if self.quality and self.quality.fatal and not self.ended:
            self.stopped = f"quality model: {self.quality.fatal.kind}: {self.quality.fatal.detail}"
        return reason

    def _show(self, result: Reply | Failure, records: int) -> None:
        """Update estimate and progress display after one result that gave so many records."""
        self._estimate.add(result, records)
        if self._estimate.settled and self._estimate.whole and not self._announced:
            self._announced = True
            print(self._estimate, file=sys.stderr, flush=True)
        if self.bar:
            reasons = ", ".join(f"{reason} {count}" for reason, count in self.tasks.dropped.most_common(2))
            dropped = f"dropped {self.tasks.dropped.total()}{f' ({reasons})' if reasons else ''}"
            money = self.model.facts() + (f", {self._estimate.facts()}" if self._estimate.whole else "")
            self.bar.update(len(self.records), f"asked {self.replies.read} | {dropped} | {money}")


class _ScoredAhead:
    """The teacher, whose replies arrive with their tasks scored; in the order of arrival, which decides nothing.

    Tasks that would be dropped anyhow are not paid for: what is similar to a record now is so later too.
    """

    def __init__(self, run: GenerationRun, tasks_of: Callable[[Reply], Sequence[Task]]) -> None:
        self._run, self._tasks_of = run, tasks_of
        self.name, self.batch = run.model.name, run.model.batch

    async def complete(self, request: Request) -> Reply | Failure:
        result = await self._run.model.complete(request)
        if isinstance(result, Reply) and not self._run.ended:
            selection = self._run.selection
            await self._run.score_ahead(
                task
                for task in self._tasks_of(result)
                if not selection.reason_to_drop(task) and selection.compare(task.instruction).highest <= LIMIT
            )
        return result
