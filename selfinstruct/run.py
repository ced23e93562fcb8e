"""What all methods share: ask, count, select, keep; exactly as many records as asked for, every drop counted."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from camelid.jsonl import Record
from camelid.ledger import Ledger
from camelid.llm import FATAL, LLM, Failure, Reply, Request, complete_in_order
from camelid.progress import Progress
from selfinstruct.dedup import Similarity
from selfinstruct.quality import Quality
from selfinstruct.seeds import Task
from selfinstruct.selection import TOO_SIMILAR, Selection

BARREN = 200  # replies in a row without a single record after which a run gives up
ENOUGH = "not needed: enough records"


@dataclass
class Run:
    """A generation run under way.

    Attributes:
        llm: the teacher.
        selection: decides which tasks are kept.
        count: records wanted.
        concurrency: requests in flight.
        quality: scores what the selection would keep; None for no such filter.
        bar: the progress display.
        records: instruction records with `id`, `most_similar`, `avg_similarity`, `request`, `model`.
        replies: what became of the requests.
        tasks: what became of the tasks in the replies.
        instructions: what became of the instructions, where a method makes them in a step of their own.
        prompt_tokens, completion_tokens: billed for the replies used.
        stopped: why the run ends before it has all records; None while it goes on or when it has them.
    """

    llm: LLM
    selection: Selection
    count: int
    concurrency: int
    quality: Quality | None = None
    bar: Progress | None = None
    records: list[Record] = field(default_factory=list)
    replies: Ledger = field(default_factory=lambda: Ledger("replies"))
    tasks: Ledger = field(default_factory=lambda: Ledger("records"))
    instructions: Ledger | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    stopped: str | None = None

    @property
    def ledgers(self) -> list[Ledger]:
        return [self.replies, *([self.instructions] if self.instructions else []), self.tasks]

    @property
    def ended(self) -> bool:
        return self.stopped is not None or len(self.records) == self.count

    async def ask(
        self, requests: Iterable[Request], gives_records: bool = True
    ) -> AsyncGenerator[tuple[Request, Reply]]:
        """Yield the replies, in the order of their requests, until the run has ended; failures are counted.

        In order, the records follow from the arguments and the replies alone, however the replies arrive.

        Args:
            requests: asked lazily; may be endless.
            gives_records: whether `BARREN` replies without a record end the run.
        """
        barren = 0
        async with aclosing(complete_in_order(self.llm, requests, self.concurrency)) as done:
            async for request, result in done:
                if isinstance(result, Failure):
                    self.fail(result)
                else:
                    self.replies.keep()
                    self.prompt_tokens += result.usage.prompt_tokens
                    self.completion_tokens += result.usage.completion_tokens
                before = len(self.records)
                if isinstance(result, Reply):
                    yield request, result
                barren = 0 if len(self.records) > before else barren + 1
                if gives_records and barren >= BARREN and not self.ended:
                    self.stopped = f"{BARREN} replies in a row gave no new record; the ledger says why"
                self._show()
                if self.ended:
                    return

    def fail(self, failure: Failure) -> None:
        """Count a failure; end the run if every other request would fail too."""
        self.replies.drop(failure.kind)
        if failure.kind in FATAL:
            self.stopped = f"{failure.kind}: {failure.detail}"

    async def answers(self, requests: Sequence[Request]) -> dict[int, Reply]:
        """The replies by `Request.sample`, which must differ; a request without one has failed and is counted."""
        return {request.sample: reply async for request, reply in self.ask(requests, gives_records=False)}

    async def take(self, tasks: Sequence[Task], request: int, model: str, **facts: object) -> None:
        """Keep the tasks that pass, up to the number wanted.

        Args:
            tasks: as parsed from one reply.
            request: number of the request.
            model: who wrote them.
            facts: further fields of the records.
        """
        good = []
        for task in tasks:
            if len(self.records) == self.count:
                self.tasks.drop(ENOUGH)
            elif reason := self.selection.reason_to_drop(task):
                self.tasks.drop(reason)
            else:
                good.append(task)
        for task, reason in await self.scored(good):
            if len(self.records) == self.count:
                self.tasks.drop(ENOUGH)
            elif reason:
                self.tasks.drop(reason)
            elif (similarity := self.selection.keep(task.instruction)) is None:
                self.tasks.drop(TOO_SIMILAR)
            else:
                self.record(task, similarity, request, model, **facts)

    def record(self, task: Task, similarity: Similarity, request: int, model: str, **facts: object) -> None:
        """Add a record of a task that has passed everything; the arguments are `take`'s."""
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

    async def scored(self, tasks: list[Task]) -> list[tuple[Task, str | None]]:
        """Each task with the quality filter's reason to drop it."""
        if self.quality is None or self.ended:
            return [(task, None) for task in tasks]
        return list(zip(tasks, await self.quality.reasons_to_drop(tasks), strict=True))

    def _show(self) -> None:
        if self.bar:
            reasons = ", ".join(f"{reason} {count}" for reason, count in self.tasks.dropped.most_common(2))
            asked = f"asked {self.replies.read} | dropped {self.tasks.dropped.total()}"
            tokens = f"{self.prompt_tokens + self.completion_tokens:,} tokens"
            self.bar.update(len(self.records), f"{asked}{f' ({reasons})' if reasons else ''} | {tokens}")
