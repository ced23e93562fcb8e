"""What all methods share: ask, count, select, keep; exactly as many records as asked for, every drop counted.

Each method asks for what it needs with `ask` or `answers`, and hands what it reads to `keep_passing`: the one place
where it is decided what becomes a record, and in what order reasons against it are looked for.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from camelid.files.ledger import Ledger
from camelid.files.read import Record
from camelid.models.failure_streak import PATIENCE
from camelid.models.llm import FATAL, Failure, Reply, Request, complete_in_order
from camelid.models.model_run import ModelRun
from camelid.models.spend import CostEstimate
from selfinstruct.keep.nearness import DIFFERENT, Nearness
from selfinstruct.seeds import Task
from selfinstruct.standstill import Standstill

if TYPE_CHECKING:  # the command line imports the methods, and they this: it stays light
    from camelid.progress import Progress
    from selfinstruct.answers import Answerer
    from selfinstruct.keep.quality import Quality
    from selfinstruct.keep.rouge import Similarity
    from selfinstruct.keep.selection import Selection

BARREN = 200  # replies in a row without a single record after which a run gives up, unless the user says otherwise
ENOUGH = "not needed: the run had ended"


@dataclass(frozen=True)
class Candidate:
    """A task that may become a record.

    Attributes:
        task: as read from a reply.
        request: number of the request, for the record.
        model: who wrote it, for the record.
        fault: why its method drops it before any filter looks at it; None if it does not.
        similarity: of its instruction, where that was kept (and remembered) before there was a task.
        facts: further fields of the record.
    """

    task: Task
    request: int
    model: str
    fault: str | None = None
    similarity: "Similarity | None" = None
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass
class GenerationRun:
    """A generation run under way.

    Attributes:
        model: the teacher.
        selection: decides which tasks are kept.
        count: records wanted.
        quality: scores what the selection would keep; None for no such filter.
        answerer: asks for the outputs of what else would be kept, apart from its tasks; None: they come with these.
        bar: the progress display.
        records: instruction records with `id`, `most_similar`, `avg_similarity`, `request`, `model`.
        replies: what became of the requests.
        tasks: what became of the tasks in the replies.
        instructions: what became of the instructions, where a method makes them in a step of their own.
        barren: replies in a row without a single record after which it gives up.
        patience: the same where one reason took all that was in them.
        stopped: why the run ends before it has all records; None while it goes on or when it has them.
    """

    model: ModelRun
    selection: "Selection"
    count: int
    quality: "Quality | None" = None
    bar: "Progress | None" = None
    records: list[Record] = field(default_factory=list)
    replies: Ledger = field(default_factory=lambda: Ledger("replies"))
    tasks: Ledger = field(default_factory=lambda: Ledger("records"))
    instructions: Ledger | None = None
    stopped: str | None = None
    answerer: "Answerer | None" = None
    barren: int = BARREN
    patience: int = PATIENCE

    def __post_init__(self) -> None:
        self._estimate = CostEstimate(self.model.price, self.count)
        self._announced = False
        self._failed: list[tuple[Request, Failure]] = []  # since the last reply
        self._standstills: dict[str, Standstill] = {}  # by the unit of their ledger

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
            tasks_of: for replies that give records; their tasks are scored as soon as they arrive, and `barren`
                replies without a record end the run.
        """
        if self.ended:
            return
        barren = 0
        llm = _ScoredAhead(self, tasks_of) if self.quality and tasks_of and not self.answerer else self.model
        async with aclosing(complete_in_order(llm, requests, self.model.concurrency, needed)) as done:
            async for request, result in done:
                before = len(self.records)
                if isinstance(result, Failure):
                    self.count_failure(request, result)
                else:
                    self.replies.keep()
                    self.count_mended(result.mended)
                    await self._keep_failures()
                    yield request, result
                barren = 0 if len(self.records) > before else barren + 1
                if tasks_of and barren >= self.barren and not self.ended:
                    self.stopped = f"{self.barren} replies in a row gave no new record; the ledger says why"
                if tasks_of:
                    self.stop_at_standstill(self.tasks)
                self._show(result, len(self.records) - before)
                if self.ended:
                    return

    def count_failure(self, request: Request, failure: Failure) -> None:
        """Count a failure; end the run if every other request would fail too, or if so many have that they would."""
        self.replies.drop(failure.kind, example=failure.detail)
        if failure.kind in FATAL:
            self.stopped = f"{failure.kind}: {failure.detail}"
            return
        self._failed.append((request, failure))
        sent = [failure for _, failure in self._failed if failure.attempts][-PATIENCE:]  # the others are of the journal
        if len(sent) == PATIENCE and {failure.kind for failure in sent} == {failure.kind}:
            self.stopped = f"{PATIENCE} requests in a row failed with {failure.kind}: {failure.detail}"

    def count_mended(self, characters: int) -> None:
        """Count broken characters of a reply that were replaced."""
        if characters:
            self.replies.repair("broken characters replaced", characters)

    async def _keep_failures(self) -> None:
        """Now that a later request got a reply, the run goes on without those that failed, in a replay too."""
        failed, self._failed = self._failed, []
        for request, failure in failed:
            await self.model.keep(request, failure)

    def stop_at_standstill(self, ledger: Ledger) -> None:
        """End the run if one reason takes all that its replies hold; asked whenever a ledger has what they held."""
        bought = max(0, self.replies.read - self.model.replayed)
        reason = self._standstills.setdefault(ledger.unit, Standstill(ledger, self.patience, ENOUGH)).reason(bought)
        if reason and not self.ended:
            self.stopped = reason

    async def answers(self, requests: Sequence[Request]) -> dict[int, Reply]:
        """The replies by `Request.sample`, which must differ; a request without one has failed and is counted."""
        return {request.sample: reply async for request, reply in self.ask(requests)}

    async def keep_passing(
        self, candidates: Sequence[Candidate], nearness: Nearness = DIFFERENT, together: bool = False
    ) -> list[Candidate]:
        """Keep the candidates that pass, up to the number wanted; count the others, each under its first reason.

        Reasons are looked for in this order: the method's own, the rules, similarity to what is kept, quality. What
        passes is remembered, and recorded.

        Args:
            candidates: in the order in which they are decided.
            nearness: how near to what is kept they may be.
            together: each had a reply of its own. Then those that fall to the first two reasons are counted so even
                if the run has ended, and the others are scored at the same time. Otherwise they are of one reply,
                scored when it arrived (see `ask`), and what comes after the last one wanted is not looked at.

        Returns:
            Those kept.
        """
        kept = []
        if self.answerer:  # no more at a time than are wanted: each answer is paid for
            while candidates and not self.ended:
                size = self.count - len(self.records)
                group, candidates = candidates[:size], candidates[size:]
                kept += await self._keep(await self._answered(self.answerer, group, nearness), nearness, True)
            if candidates:
                self.tasks.drop(ENOUGH, len(candidates))
        else:
            kept += await self._keep(candidates, nearness, together)
        self.stop_at_standstill(self.tasks)
        return kept

    async def _keep(self, candidates: Sequence[Candidate], nearness: Nearness, together: bool) -> list[Candidate]:
        """As `keep_passing`, of candidates that have their outputs."""
        if together:
            candidates = [candidate for candidate in candidates if self._passes_alone(candidate)]
            await self._score_ahead(
                candidate.task for candidate in candidates if not nearness.reason_to_drop(self._similarity(candidate))
            )
        self.selection.look_ahead([candidate.task.instruction for candidate in candidates if not candidate.similarity])
        kept = []
        for candidate in candidates:
            if self.ended:
                self.tasks.drop(ENOUGH)
            elif (together or self._passes_alone(candidate)) and await self._keep_different(candidate, nearness):
                kept.append(candidate)
        return kept

    async def _answered(
        self, answerer: "Answerer", candidates: Sequence[Candidate], nearness: Nearness
    ) -> list[Candidate]:
        """Those that are worth an answer, with it; the others are counted."""
        worth: list[Candidate] = []
        for candidate in candidates:
            reason = candidate.fault or self.selection.reason_to_drop_question(candidate.task)
            reason = reason or nearness.reason_to_drop(self._similarity(candidate))
            if reason:
                self.tasks.drop(reason, example=_shown(candidate.task))
            else:
                worth.append(candidate)
        answered = []
        for candidate, answer in zip(worth, await answerer.answer_all([one.task for one in worth]), strict=True):
            if isinstance(answer, Task):
                answered.append(replace(candidate, task=answer, model=answerer.model.name))
            else:
                self.tasks.drop(answer, example=_shown(candidate.task))
        if answerer.fatal and not self.ended:
            self.stopped = f"answers: {answerer.fatal.kind}: {answerer.fatal.detail}"
        return answered

    def keep_instructions(self, texts: Sequence[str], nearness: Nearness = DIFFERENT) -> "list[tuple[str, Similarity]]":
        """Keep and remember the instructions that pass the same filters, as far as they need no answer."""
        assert self.instructions
        kept = []
        self.selection.look_ahead(texts)
        for text in texts:
            if reason := self.selection.reason_to_drop_instruction(text):
                self.instructions.drop(reason, example=text)
                continue
            similarity = self.selection.compare(text)
            if reason := nearness.reason_to_drop(similarity):
                self.instructions.drop(reason, example=text)
                continue
            self.instructions.keep()
            self.selection.add(text)
            kept.append((text, similarity))
        self.stop_at_standstill(self.instructions)
        return kept

    def _passes_alone(self, candidate: Candidate) -> bool:
        """Whether nothing is wrong with a candidate by itself; counts the reason."""
        reason = candidate.fault or self.selection.reason_to_drop(candidate.task)
        if reason:
            self.tasks.drop(reason, example=_shown(candidate.task))
        return reason is None

    def _similarity(self, candidate: Candidate) -> "Similarity":
        """How near a candidate is to what is kept; of one whose instruction was kept before, how near it was then."""
        return candidate.similarity or self.selection.compare(candidate.task.instruction)

    async def _keep_different(self, candidate: Candidate, nearness: Nearness) -> bool:
        """Keep a candidate that passes alone, unless it is near to what is kept or of low quality; counts either."""
        task = candidate.task
        similarity = self._similarity(candidate)
        if reason := nearness.reason_to_drop(similarity) or await self._quality_reason(task):
            self.tasks.drop(reason, example=_shown(task))
            return False
        if not candidate.similarity:
            self.selection.add(task.instruction)
        self.tasks.keep()
        self.records.append(
            {
                "id": f"task_{len(self.records):06d}",
                "instruction": task.instruction,
                "input": task.input,
                "output": task.output,
                "most_similar": similarity.most_similar,
                "avg_similarity": similarity.average,
                "request": candidate.request,
                "model": candidate.model,
                **candidate.facts,
            }
        )
        return True

    async def _score_ahead(self, tasks: Iterable[Task]) -> None:
        """Ask for the quality of tasks at the same time, so that `_quality_reason` has it ready."""
        if self.quality:
            await asyncio.gather(*(self.quality.reason_to_drop(task) for task in tasks))

    async def score_on_arrival(self, tasks: Sequence[Task]) -> None:
        """Ask for the quality of a reply's tasks before its turn has come.

        Tasks that would be dropped anyhow are not paid for: what is similar to a record now is so later too.
        """
        if not self.ended:
            await self._score_ahead(
                task
                for task in tasks
                if not self.selection.reason_to_drop(task)
                and not DIFFERENT.reason_to_drop(self.selection.compare(task.instruction))
            )

    async def _quality_reason(self, task: Task) -> str | None:
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


def _shown(task: Task) -> str:
    """A task as an example of why it was dropped."""
    return f"{task.instruction} -> {task.output}"


class _ScoredAhead:
    """The teacher, whose replies arrive with their tasks scored; in the order of arrival, which decides nothing."""

    def __init__(self, run: GenerationRun, tasks_of: Callable[[Reply], Sequence[Task]]) -> None:
        self._run, self._tasks_of = run, tasks_of
        self.name, self.batch = run.model.name, run.model.batch

    async def complete(self, request: Request) -> Reply | Failure:
        result = await self._run.model.complete(request)
        if isinstance(result, Reply):
            await self._run.score_on_arrival(self._tasks_of(result))
        return result
