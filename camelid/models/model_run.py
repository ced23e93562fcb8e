"""A model as a room uses it for one job: what was paid for is kept, what it costs is counted and limited."""

import argparse
import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from camelid.files.encodable import mend_text
from camelid.models.failure_streak import FailureStreak
from camelid.models.journal import Journal
from camelid.models.llm import FATAL, FINAL, LLM, Failure, Reply, Request, Usage, complete_in_order
from camelid.models.read_reply import finish_reply
from camelid.models.request_options import UNSET, RequestOptions
from camelid.models.spend import SAMPLE, CostEstimate, Meter, Price, SpendingLimits, format_dollars

T = TypeVar("T")

GOLDEN_RATIO = (1 + math.sqrt(5)) / 2
MOST_SAMPLED = 100  # replies after which `sample_cost` takes the estimate as it is


class ModelRun:
    """An `LLM` with a journal and a meter; used in a `with` block, which opens and closes the journal.

    Args:
        llm: the model itself.
        journal: the file that keeps its replies, or a function that names it from the model's name.
        concurrency: how many requests to have in flight.
        price: of its tokens; None where it is not known.
        max_cost, max_requests: hard limits; replies in the journal count.
        batch: whether requests go through a Batch API, where a reply may take hours.
        options: what the user sets of every request.

    Attributes:
        label: what tables call it, if nobody says otherwise: its name, or what people call a model folder.
        replayed: requests answered from what earlier runs have paid for.
        mended: broken characters (halves of surrogate pairs) of replies that were replaced.
        limits: what may be spent; before the `with` block, another run's can take their place to be shared.
    """

    def __init__(
        self,
        llm: LLM,
        journal: Path | Callable[[str], Path],
        concurrency: int = 16,
        price: Price | None = None,
        max_cost: float | None = None,
        max_requests: int | None = None,
        batch: bool = False,
        options: RequestOptions = UNSET,
    ) -> None:
        self.concurrency, self.price, self.batch, self.options = concurrency, price, batch, options
        self.replayed = self.mended = 0
        self._llm, self.label = llm, llm.name
        self._path = journal(llm.name) if callable(journal) else journal
        self.limits = SpendingLimits(max_cost, max_requests)
        self._asking: dict[str, asyncio.Task[Reply | Failure]] = {}
        self._bought: set[str] = set()
        self._given_up: Failure | None = None

    def __enter__(self) -> "ModelRun":
        self._journal = Journal(self._path, self.name)
        self._earlier = self._journal.usage
        self._failing = FailureStreak(self._journal.answered)
        self._meter = Meter(
            self._llm, self.price, self.limits, self._earlier, self._journal.answered, self._journal.longest
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """`asyncio.run`, after which the model's connections are closed in the same event loop."""

        async def run_and_close() -> T:
            try:
                return await main
            finally:
                await self.close()

        return asyncio.run(run_and_close())

    async def close(self) -> None:
        """Close the model's connections, in the event loop that used them; `run` does it."""
        close = getattr(self._llm, "close", None)
        if close is not None:
            await close()

    @property
    def name(self) -> str:
        return self._llm.name

    async def complete(self, request: Request) -> Reply | Failure:
        """Answer from the journal, or ask the model and keep its reply."""
        request = self.options.apply(request)
        key = request.key(self.name)
        known = self._journal.get(key)
        if known is not None:
            if key not in self._bought:
                self.replayed += 1
                self.mended += known.mended if isinstance(known, Reply) else 0
            # A reply may be of an earlier version; a failure was not sent for this.
            return finish_reply(known) if isinstance(known, Reply) else replace(known, attempts=0)
        if key not in self._asking:  # the same question twice at once is paid for once
            self._asking[key] = asyncio.create_task(self._buy(key, request))
        return await asyncio.shield(self._asking[key])

    async def _buy(self, key: str, request: Request) -> Reply | Failure:
        try:
            if self._journal.fault:
                raise self._journal.fault  # what is bought now could not be kept
            hopeless = None if self.batch else self._failing.hopeless  # a batch fails as one
            result = self._given_up or hopeless or await self._meter.complete(request)
            if isinstance(result, Reply):
                result = finish_reply(result)
                self.mended += result.mended if isinstance(result, Reply) else 0
            if isinstance(result, Failure):
                result = replace(result, detail=mend_text(result.detail)[0])
            self._failing.add(result)
            if isinstance(result, Reply) or (result.kind in FINAL and result.attempts):
                await self._journal.append(key, result)
                self._bought.add(key)
            return result
        finally:
            del self._asking[key]

    def give_up(self, why: str) -> None:
        """Send nothing more: replies come, and they are of no use. What the journal holds is still answered."""
        self._given_up = self._given_up or Failure("no_progress", why, attempts=0)

    async def keep(self, request: Request, failure: Failure) -> None:
        """Write down that a job goes on without a request that failed; asked again, it fails without being sent."""
        key = self.options.apply(request).key(self.name)
        if self._journal.get(key) is None:  # else it is there from an earlier run
            await self._journal.append(key, replace(failure, usage=Usage(), attempts=0))

    @property
    def sent(self) -> int:
        """Requests that went to the model in this process."""
        return self._meter.sent

    @property
    def usage(self) -> Usage:
        """Tokens billed for this job, earlier runs included."""
        return self._meter.usage

    @property
    def cost(self) -> float | None:
        """USD billed for this job, earlier runs included; None if the price is not known."""
        return self._meter.cost

    def facts(self) -> str:
        """For a progress bar: `12,345 tokens | $0.12`."""
        tokens = f"{self.usage.prompt_tokens + self.usage.completion_tokens:,} tokens"
        return tokens if self.cost is None else f"{tokens} | {format_dollars(self.cost)}"

    def summary(self) -> str:
        """One line for the end: requests, tokens, money."""
        used = self.usage
        line = f"{self.sent} requests sent, {self.replayed} answered from the journal; "
        line += f"{used.prompt_tokens:,} prompt + {used.completion_tokens:,} completion tokens"
        if used.reckoned:
            line += f" ({used.reckoned:,} of them reckoned from the texts: the server did not count them)"
        if self.mended:
            line += f"; broken characters replaced: {self.mended:,}"
        if self.cost is None or self.price is None:
            return f"{line}, price unknown: {self.name} is not in the list of prices, see --price"
        before = self.price.cost(self._earlier)
        earlier = f", {format_dollars(before)} of it by earlier runs" if before else ""
        return f"{line}, {format_dollars(self.cost)} ({self.price.origin}{earlier})"

    def to_json(self) -> dict[str, Any]:
        """For a ledger: the model, what was asked and what it cost, earlier runs included."""
        return {
            "model": self.name,
            "requests_sent": self.sent,
            "answered_from_journal": self.replayed,
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "reckoned_tokens": self.usage.reckoned,
            "broken_characters_replaced": self.mended,
            "cost_usd": self.cost,
            "price_usd_per_million": [self.price.prompt, self.price.completion] if self.price else None,
            "price_from": self.price.origin if self.price else None,
            "not_counted": f"what was in flight when a run was killed (up to {self.concurrency}) is bought again",
        }


# From a command's arguments and the journal's file (or what names it, given the model's name) to the model for a job.
OpenModel = Callable[[argparse.Namespace, Path | Callable[[str], Path]], ModelRun]


async def sample_cost(model: ModelRun, requests: Sequence[Request]) -> CostEstimate:
    """Pay for a few of a run's requests, spread evenly over all of them, and estimate the whole from their replies.

    The replies stay in the journal, so asking for all requests afterwards pays for none of these again. The sample
    grows until the estimate has settled (see `CostEstimate`) or `MOST_SAMPLED` is reached.

    Args:
        model: whom to ask.
        requests: all of the run's.
    """
    estimate = CostEstimate(model.price, len(requests))
    # In the order of the multiples' fractional parts, every first n are spread evenly (three-distance theorem).
    spread = sorted(range(len(requests)), key=lambda index: index * GOLDEN_RATIO % 1)
    some = [requests[index] for index in spread[:MOST_SAMPLED]]
    ahead = complete_in_order(model, some, model.concurrency, needed=lambda: SAMPLE + estimate.replies)
    async with aclosing(ahead) as results:
        async for _, result in results:
            estimate.add(result, done=isinstance(result, Reply))
            if estimate.settled or (isinstance(result, Failure) and result.kind in FATAL):
                break
    return estimate
