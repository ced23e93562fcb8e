"""Alpaca's method: one step, three seeds in context, twenty tasks a prompt."""

<<<<<<< HEAD
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from camelid.llm import FATAL, Failure, Reply, Request
from selfinstruct.parse import Parser, parse_compat, parse_json, parse_strict
from selfinstruct.prompt import SEEDS_A_PROMPT, json_request, requests, text_request
from selfinstruct.run import Run
=======
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
>>>>>>> llm-ready
from selfinstruct.seeds import Task

FormatName = Literal["json", "text", "compat"]
PROBES = 64  # numbers of requests looked up to tell which format an earlier run used


@dataclass(frozen=True)
class Format:
    """How tasks are asked for and read back: a maker of requests and a parser."""

    requests: Iterator[Request]
    parse: Parser


def open_format(name: FormatName, seeds: Sequence[Task], seed: int, language: str) -> Format:
    """`json` is structured output; `text` the classic numbered format; `compat` the same, read as Alpaca did."""
    parse = {"json": parse_json, "text": parse_strict, "compat": parse_compat}[name]
    make = json_request if name == "json" else text_request
    return Format(requests(seeds, seed, make, language), parse)


async def generate(run: Run, form: Format, fallback: Format | None = None) -> None:
    """Make `run.count` records.

    Args:
        run: takes the records.
        form: the format to ask for.
        fallback: the format to go on with, announced once, if the model has no use for `form`: it refuses the
            first request or answers it with something else.
    """
<<<<<<< HEAD
    if fallback:
        first = next(form.requests)
        result = await run.llm.complete(first)
        problem = _problem(form, result)
        if problem:
            print(f"no structured output from {run.llm.name} ({problem}); using --format text", file=sys.stderr)
            run.replies.drop("no structured output")
            form = fallback
        elif isinstance(result, Failure) and result.kind in FATAL:
            run.fail(result)
            return
        else:
            form = Format(chain([first], form.requests), form.parse)  # now answered from the journal
    async for request, reply in run.ask(form.requests):
        parsed = form.parse(reply.text, SEEDS_A_PROMPT + 1, reply.finish_reason == "length")
        for fault in parsed.drops:
            run.tasks.drop(fault)
        await run.take(parsed.tasks, request.sample, reply.model)


def _problem(form: Format, result: Reply | Failure) -> str | None:
    """Why a model has no use for the format, judged by its first answer; None if it has."""
    if isinstance(result, Failure):
        return result.detail if result.kind == "bad_request" else None  # other failures say nothing of the format
    parsed = form.parse(result.text, SEEDS_A_PROMPT + 1, False)
    return None if parsed.tasks else "it answered with something else"
=======

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
>>>>>>> llm-ready
