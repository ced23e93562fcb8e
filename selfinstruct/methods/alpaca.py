"""Alpaca's method: one step, three seeds in context, twenty tasks a prompt."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

from camelid.models.llm import Failure, Reply, Request
from camelid.models.model_run import ModelRun
from camelid.models.spend import SAMPLE, estimate_before_asking
from selfinstruct.methods.method import AUTO, Method, MethodInputs
from selfinstruct.methods.parse import Parsed, ReplyParser, parse_compat, parse_json, parse_strict
from selfinstruct.methods.prompt import SEEDS_A_PROMPT, TASKS_A_PROMPT, alpaca_requests, json_request, text_request
from selfinstruct.methods.task_prompt import OWN_PROMPT, TaskPrompt, read_task_prompt
from selfinstruct.run import Candidate, GenerationRun
from selfinstruct.seeds import Task

ReplyFormatName = Literal["json", "text", "compat"]
TASKS_A_REPLY = TASKS_A_PROMPT - SEEDS_A_PROMPT  # at most
TRUSTED = 10  # replies after which what they gave outweighs the hope that every task is kept


@dataclass(frozen=True)
class ReplyFormat:
    """How tasks are asked for and read back: a maker of requests and a parser."""

    requests: Iterator[Request]
    parser: ReplyParser

    def parse(self, reply: Reply) -> Parsed:
        return self.parser(reply.text, SEEDS_A_PROMPT + 1, reply.finish_reason == "length")


@dataclass(frozen=True)
class ReplyForm:
    """What `--format` can be.

    Attributes:
        name, help: on the command line.
        make: a request from the tasks shown, its number and what the teacher is told.
        parser: reads the reply.
        compat: its tasks are filtered as Alpaca's code did.
        fallback: the form to go on with if the model has no use for this one.
    """

    name: str
    help: str
    make: Callable[[Sequence[Task], int, str], Request]
    parser: ReplyParser
    compat: bool = False
    fallback: "ReplyForm | None" = None

    def open(self, seeds: Sequence[Task], seed: int, language: str, prompt: TaskPrompt = OWN_PROMPT) -> ReplyFormat:
        """With its requests for a run."""
        return ReplyFormat(alpaca_requests(seeds, seed, self.make, language, prompt), self.parser)


_TEXT = ReplyForm("text", "numbered text", text_request, parse_strict)
FORMS = (
    ReplyForm(AUTO, "structured output where the server has it (auto)", json_request, parse_json, fallback=_TEXT),
    ReplyForm("json", "structured output", json_request, parse_json),
    _TEXT,
    ReplyForm(
        "compat", "numbered text read and filtered exactly as Alpaca did", text_request, parse_compat, compat=True
    ),
)


def find_form(name: str) -> ReplyForm:
    """The form of that name."""
    return next(form for form in FORMS if form.name == name)


def estimate_cost(form: ReplyFormat, count: int, model: ModelRun) -> str:
    """What a run costs if every task is kept, roughly and in words, before anything is asked."""
    replies = math.ceil(count / TASKS_A_REPLY)
    sample = [model.options.apply(request) for request in islice(form.requests, SAMPLE)]
    return estimate_before_asking(sample, replies, model.price)


async def generate_alpaca(run: GenerationRun, form: ReplyFormat, fallback: ReplyFormat | None = None) -> None:
    """Make `run.count` records.

    Args:
        run: takes the records.
        form: the format to ask for.
        fallback: the format to go on with, announced once, if the model has no use for `form`: it refuses the
            first request or answers it with something else.
    """
    if fallback:
        form = await _usable(run, form, fallback)
        if run.ended:
            return

    def needed() -> int:
        # At first as if every task were kept: never more requests than the run needs.
        kept, replies = len(run.records), run.replies.kept
        rate = (kept + TASKS_A_REPLY * TRUSTED) / (replies + TRUSTED)
        return math.ceil((run.count - kept) / rate)

    async for request, reply in run.ask(form.requests, needed, lambda reply: form.parse(reply).tasks):
        parsed = form.parse(reply)
        run.count_mended(parsed.mended)
        for fault in parsed.drops:
            run.tasks.drop(fault, example=reply.text)
        await run.keep_passing([Candidate(task, request.sample, reply.model) for task in parsed.tasks])


async def _usable(run: GenerationRun, form: ReplyFormat, fallback: ReplyFormat) -> ReplyFormat:
    """The format that the model's first reply shows to be of use."""
    for request in form.requests:
        result = await run.model.complete(request)
        problem = _problem(form, result)
        if problem:
            print(f"no structured output from {run.model.name} ({problem}); using --format text", file=sys.stderr)
            run.replies.drop("no structured output")
            if isinstance(result, Failure):
                await run.model.keep(request, result)
            return fallback
        if isinstance(result, Reply):
            return ReplyFormat(chain([request], form.requests), form.parser)  # asked again, the journal answers
        run.count_failure(request, result)  # says nothing of the format
        if run.ended:
            break
    return form


def _problem(form: ReplyFormat, result: Reply | Failure) -> str | None:
    """Why a model has no use for the format, judged by its first answer; None if it has."""
    if isinstance(result, Failure):
        return result.detail if result.kind in ("bad_request", "server") else None  # some servers break at a schema
    return None if form.parse(result).tasks else "it answered with something else"


async def _generate(run: GenerationRun, inputs: MethodInputs) -> None:
    """With the form that the user asked for; says first what that may cost."""
    form = find_form(inputs.format)
    prompt = read_task_prompt(inputs.prompt, inputs.personas, inputs.length)
    given = (inputs.seeds, inputs.seed, inputs.language, prompt)
    if run.model.name != "offline":
        print(estimate_cost(form.open(*given), run.count, run.model), file=sys.stderr, flush=True)
    await generate_alpaca(run, form.open(*given), form.fallback.open(*given) if form.fallback else None)


ALPACA = Method("alpaca", "one step", _generate, formats=FORMS, offline=True, has_prompt=True, has_personas=True)
