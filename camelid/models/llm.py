"""The one way Camelid talks to a model: a request in, a reply or a typed failure out.

Whoever implements `LLM` can be teacher, contestant or judge: the OpenAI-compatible client
(`camelid.models.openai_api`), the embedded `offline` model (`camelid.models.offline`), a local model folder
(`finetune.llama`). `camelid.models.model_run` adds journal and spending limits to any of them;
`complete_in_order` runs many.
"""

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from camelid.message import Message

FailureKind = Literal[
    "authentication",  # 401, 403: the key is wrong; nothing else will work either
    "come_back",  # the server asks to wait longer than a run should
    "no_progress",  # so many requests in a row have failed in one way that the next would, too; nothing was sent
    "quota",  # 429 insufficient_quota, 402: the account is out of money
    "budget",  # --max-cost or --max-requests was reached; nothing was sent
    "not_found",  # 404: no such model or endpoint
    "bad_request",  # other 4xx: this request is at fault
    "content_filter",  # the provider withheld the answer, or refused to show the model this prompt
    "refusal",  # the model declined
    "cut_off",  # the model used up its tokens before it began to answer
    "rate_limit",  # 429, retries used up
    "timeout",  # no answer in time, retries used up
    "connection",  # could not connect, or the connection broke, retries used up
    "unreachable",  # the same, and no server has answered anything yet: the address is wrong, or nobody is there
    "server",  # 5xx, retries used up
    "malformed",  # the answer was not what the protocol promises, retries used up
]

# Every other request would fail, too.
FATAL: frozenset[FailureKind] = frozenset(
    {"authentication", "quota", "not_found", "budget", "unreachable", "come_back", "no_progress"}
)
# The request has its outcome, which was paid for: sent again, it would most likely be the same.
FINAL: frozenset[FailureKind] = frozenset({"content_filter", "refusal", "cut_off"})


@dataclass(frozen=True, slots=True)
class Request:
    """One chat completion to ask for.

    Attributes:
        messages: the chat so far; the model writes the next assistant turn.
        temperature: sampling temperature, 0 = greedy.
        top_p: nucleus sampling mass.
        max_tokens: most new tokens; None leaves it to the model.
        stop: strings that end the answer (not part of it).
        seed: sampling seed where the provider honours one.
        sample: tells apart requests that are otherwise equal (the second answer to one question).
        extra: further fields of the OpenAI request body, sent as they are (`response_format`, ...).
    """

    messages: tuple[Message, ...]
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    sample: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    def key(self, model: str) -> str:
        """The journal key: SHA-256 of the model's name and every field, in hex; of messages, those that 0.1.0 knew."""
        messages = [{"role": one.role, "content": one.content, "weight": one.weight} for one in self.messages]
        text = json.dumps([model, {**asdict(self), "messages": messages}], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens billed.

    Attributes:
        prompt_tokens, completion_tokens: read and written.
        reckoned: how many of both the server did not count: they were reckoned from the texts.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reckoned: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.reckoned + other.reckoned,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """One finished answer.

    Attributes:
        text: the assistant's answer, without its thinking.
        model: the model the provider says answered.
        finish_reason: "stop" (ended by itself or by a stop string) or "length" (cut at max_tokens).
        usage: tokens billed.
        top_logprobs: for each generated token, the natural-log probability of it and of its likeliest rivals by
            their text; empty unless the request's `extra` asks for `logprobs` (and `top_logprobs`).
        reasoning: what the model thought before it answered, where the provider shows it.
        mended: how many broken characters of the text (halves of surrogate pairs) were replaced.
    """

    text: str
    model: str
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)
    top_logprobs: tuple[dict[str, float], ...] = ()
    reasoning: str = ""
    mended: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer.

    Attributes:
        kind: what went wrong; kinds in `FATAL` will fail for every other request too.
        detail: one line for a person: status, message, what to do.
        attempts: how often the request was sent.
        usage: tokens billed all the same (a refusal, an answer without text).
    """

    kind: FailureKind
    detail: str
    attempts: int = 1
    usage: Usage = field(default_factory=Usage)


class LLM(Protocol):
    """A model that completes chats."""

    @property
    def name(self) -> str:
        """What the user called it; part of every journal key."""
        ...

    async def complete(self, request: Request) -> Reply | Failure:
        """Answer one request. Never raises for what the provider or the network did."""
        ...


async def complete_in_order(
    llm: LLM, requests: Iterable[Request], concurrency: int, needed: Callable[[], int] | None = None
) -> AsyncGenerator[tuple[Request, Reply | Failure], None]:
    """Yield each request with its result, in request order, with up to `concurrency` in flight.

    Order makes runs reproducible: what a consumer decides never depends on which reply came first.
    `requests` may be endless; it is drawn from lazily. A consumer that stops early closes the iterator
    (`contextlib.aclosing`): requests already sent are then awaited, since they are paid for and a
    journal keeps them; requests still waiting for their turn are never sent.

    Args:
        llm: whom to ask.
        requests: what to ask.
        concurrency: most requests in flight.
        needed: how many more results the consumer thinks it will use. No more than that (and one) are asked ahead,
            so that a run that stops at its goal has not paid for replies nobody reads.
    """
    source = iter(requests)
    flying: deque[tuple[Request, asyncio.Task[Reply | Failure]]] = deque()
    gate = asyncio.Semaphore(concurrency)
    stopping = False

    async def send(request: Request) -> Reply | Failure:
        async with gate:
            if stopping:
                raise asyncio.CancelledError
            return await llm.complete(request)

    def refill() -> None:
        # Twice the concurrency, so that one slow reply at the head does not idle the others.
        ahead = 2 * concurrency if needed is None else max(1, min(2 * concurrency, needed()))
        while len(flying) < ahead:
            request = next(source, None)
            if request is None:
                return
            flying.append((request, asyncio.create_task(send(request))))

    try:
        refill()
        while flying:
            request, task = flying[0]
            result = await asyncio.shield(task)  # an interrupted run still awaits what it has paid for
            flying.popleft()
            yield request, result
            refill()
    finally:
        stopping = True
        if getattr(llm, "batch", False):  # it may take hours; the next run picks its replies up
            for _, task in flying:
                task.cancel()
        await asyncio.gather(*(task for _, task in flying), return_exceptions=True)
