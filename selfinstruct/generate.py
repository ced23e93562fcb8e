"""A generation run: ask, parse, filter, keep; exactly as many records as asked for, every drop counted."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from camelid.jsonl import Record
from camelid.ledger import Ledger
from camelid.llm import FATAL, LLM, Failure, Reply, complete_in_order
from camelid.progress import Progress
from conversations.decontaminate import Decontaminator
from selfinstruct.dedup import LIMIT, Similarity, SimilarTexts
from selfinstruct.filters import reason_to_drop
from selfinstruct.parse import parse
from selfinstruct.prompt import SEEDS_A_PROMPT, requests
from selfinstruct.seeds import Task

BARREN = 200  # replies in a row without a single record after which a run gives up


@dataclass
class Outcome:
    """What a run made.

    Attributes:
        records: instruction records with `id`, `most_similar`, `avg_similarity`, `request`.
        replies: what became of the requests.
        tasks: what became of the tasks in the replies.
        prompt_tokens, completion_tokens: billed for the replies used.
        stopped: why the run ended before it had all records; None when it has them.
    """

    records: list[Record] = field(default_factory=list)
    replies: Ledger = field(default_factory=lambda: Ledger("replies"))
    tasks: Ledger = field(default_factory=lambda: Ledger("records"))
    prompt_tokens: int = 0
    completion_tokens: int = 0
    stopped: str | None = None


class Selection:
    """Decides which tasks are kept, in the order they come.

    Args:
        seeds: seed tasks; a new instruction must differ from them too.
        questions: evaluation questions; nothing near one is kept.
    """

    def __init__(self, seeds: Sequence[Task], questions: Sequence[str]) -> None:
        self._kept = SimilarTexts([task.instruction for task in seeds])
        self._questions = SimilarTexts(questions)
        self._contamination = Decontaminator(questions)

    def judge(self, task: Task) -> tuple[str | None, Similarity | None]:
        """Return (reason to drop, None), or (None, similarity) after keeping the task."""
        reason = reason_to_drop(task)
        if reason:
            return reason, None
        whole = f"{task.instruction}\n\n{task.input}".strip()
        if self._contamination.match(whole) or self._questions.compare(whole).highest > LIMIT:
            return "near an evaluation question", None
        similarity = self._kept.compare(task.instruction)
        if similarity.highest > LIMIT:
            return "too similar to one before", None
        self._kept.add(task.instruction)
        return None, similarity


async def generate(
    llm: LLM,
    seeds: Sequence[Task],
    count: int,
    seed: int,
    concurrency: int,
    questions: Sequence[str] = (),
    quiet: bool = False,
) -> Outcome:
    """Make `count` records.

    Replies are used in the order of their requests, so the records follow from the arguments and the
    replies alone, however the replies arrive.

    Args:
        llm: the teacher.
        seeds: tasks to show and to differ from.
        count: records wanted.
        seed: of the choice of seeds shown.
        concurrency: requests in flight.
        questions: evaluation questions to keep out.
        quiet: no progress display.
    """
    outcome = Outcome()
    selection = Selection(seeds, questions)
    barren = 0
    with Progress("generate", count, quiet) as bar:
        async with aclosing(complete_in_order(llm, requests(seeds, seed), concurrency)) as done:
            async for request, result in done:
                before = len(outcome.records)
                _use(outcome, selection, request.sample, result, count)
                barren = 0 if len(outcome.records) > before else barren + 1
                bar.update(len(outcome.records), f"{outcome.tasks.read} made | {outcome.completion_tokens:,} tokens")
                if isinstance(result, Failure) and result.kind in FATAL:
                    outcome.stopped = f"{result.kind}: {result.detail}"
                elif barren >= BARREN:
                    outcome.stopped = f"{BARREN} replies in a row gave no new record; the ledger says why"
                if outcome.stopped or len(outcome.records) == count:
                    break
    return outcome


def _use(outcome: Outcome, selection: Selection, number: int, result: Reply | Failure, count: int) -> None:
    """Take what one reply offers."""
    if isinstance(result, Failure):
        outcome.replies.drop(result.kind)
        return
    outcome.replies.keep()
    outcome.prompt_tokens += result.usage.prompt_tokens
    outcome.completion_tokens += result.usage.completion_tokens
    parsed = parse(result.text, SEEDS_A_PROMPT + 1, truncated=result.finish_reason == "length")
    for fault in parsed.drops:
        outcome.tasks.drop(fault)
    for task in parsed.tasks:
        if len(outcome.records) == count:
            outcome.tasks.drop("not needed: enough records")
            continue
        reason, similarity = selection.judge(task)
        if similarity is None:
            outcome.tasks.drop(reason or "unknown")
            continue
        outcome.tasks.keep()
        outcome.records.append(_record(task, similarity, len(outcome.records), number, result.model))


def _record(task: Task, similarity: Similarity, index: int, request: int, model: str) -> Record:
    return {
        "id": f"task_{index:06d}",
        "instruction": task.instruction,
        "input": task.input,
        "output": task.output,
        "most_similar": similarity.most_similar,
        "avg_similarity": similarity.average,
        "request": request,
        "model": model,
    }
