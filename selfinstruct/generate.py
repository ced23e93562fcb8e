"""Alpaca's method: one step, three seeds in context, twenty tasks a prompt."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from camelid.llm import FATAL, Failure, Reply, Request
from selfinstruct.parse import Parser, parse_compat, parse_json, parse_strict
from selfinstruct.prompt import SEEDS_A_PROMPT, json_request, requests, text_request
from selfinstruct.run import Run
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
