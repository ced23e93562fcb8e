"""The one way Camelid talks to a model: a request in, a reply or a typed failure out.

Whoever implements `LLM` can be teacher, contestant or judge: the OpenAI-compatible client
(`camelid.openai_api`), the embedded `offline` model (`camelid.offline`), a local model folder
(`finetune.llama`). `Journaled` adds the journal to any of them; `complete_in_order` runs many.
"""

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from camelid.errors import UserError
from camelid.jsonl import AppendLog, read_jsonl
from conversations.message import Message

FailureKind = Literal[
    "authentication",  # 401, 403: the key is wrong; nothing else will work either
    "quota",  # 429 insufficient_quota, 402: the account is out of money
    "not_found",  # 404: no such model or endpoint
    "bad_request",  # other 4xx: this request is at fault
    "content_filter",  # the provider refused the text
    "rate_limit",  # 429, retries used up
    "timeout",  # no answer in time, retries used up
    "connection",  # could not connect, or the connection broke, retries used up
    "server",  # 5xx, retries used up
    "malformed",  # the answer was not what the protocol promises, retries used up
]

FATAL: frozenset[FailureKind] = frozenset({"authentication", "quota", "not_found"})


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
        """The journal key: SHA-256 of the model's name and every field, in hex."""
        text = json.dumps([model, asdict(self)], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens billed for one reply."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """One finished answer.

    Attributes:
        text: the assistant's words.
        model: the model the provider says answered.
        finish_reason: "stop" (ended by itself or by a stop string) or "length" (cut at max_tokens).
        usage: tokens billed.
    """

    text: str
    model: str
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer.

    Attributes:
        kind: what went wrong; kinds in `FATAL` will fail for every other request too.
        detail: one line for a person: status, message, what to do.
        attempts: how often the request was sent.
    """

    kind: FailureKind
    detail: str
    attempts: int = 1


class LLM(Protocol):
    """A model that completes chats."""

    @property
    def name(self) -> str:
        """What the user called it; part of every journal key."""
        ...

    async def complete(self, request: Request) -> Reply | Failure:
        """Answer one request. Never raises for what the provider or the network did."""
        ...


class Journal:
    """Every reply that was paid for, on disk before it is used, by the key of its request.

    Opening an existing journal reads all replies back, so a restarted run sends nothing twice.
    """

    def __init__(self, path: str | Path) -> None:
        self._log = AppendLog(path)
        self._replies: dict[str, Reply] = {}
        for place, record in read_jsonl(path):
            self._replies[record["key"]] = _reply_from_json(record, place)

    def __len__(self) -> int:
        return len(self._replies)

    def get(self, key: str) -> Reply | None:
        return self._replies.get(key)

    def append(self, key: str, reply: Reply) -> None:
        self._log.append({"key": key, "reply": asdict(reply)})
        self._replies[key] = reply

    def close(self) -> None:
        self._log.close()


def _reply_from_json(record: dict[str, Any], place: str) -> Reply:
    try:
        fields = dict(record["reply"])
        return Reply(**{**fields, "usage": Usage(**fields["usage"])})
    except (KeyError, TypeError) as error:
        raise UserError(f"{place}: not a journal line ({error}); move the file away to start anew") from None


class Journaled:
    """An `LLM` that answers from its journal where it can and records every new reply.

    Attributes:
        sent: requests that went to the model in this process.
        replayed: requests answered from the journal.
    """

    def __init__(self, llm: LLM, journal: Journal) -> None:
        self._llm = llm
        self._journal = journal
        self.sent = 0
        self.replayed = 0

    @property
    def name(self) -> str:
        return self._llm.name

    async def complete(self, request: Request) -> Reply | Failure:
        key = request.key(self.name)
        known = self._journal.get(key)
        if known is not None:
            self.replayed += 1
            return known
        self.sent += 1
        reply = await self._llm.complete(request)
        if isinstance(reply, Reply):
            self._journal.append(key, reply)
        return reply


async def complete_in_order(
    llm: LLM, requests: Iterable[Request], concurrency: int
) -> AsyncGenerator[tuple[Request, Reply | Failure], None]:
    """Yield each request with its result, in request order, with up to `concurrency` in flight.

    Order makes runs reproducible: what a consumer decides never depends on which reply came first.
    `requests` may be endless; it is drawn from lazily. A consumer that stops early closes the iterator
    (`contextlib.aclosing`): requests already sent are then awaited, since they are paid for and a
    `Journaled` model keeps them; requests still waiting for their turn are never sent.
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
        while len(flying) < 2 * concurrency:
            request = next(source, None)
            if request is None:
                return
            flying.append((request, asyncio.create_task(send(request))))

    try:
        refill()
        while flying:
            request, task = flying.popleft()
            result = await task
            refill()
            yield request, result
    finally:
        stopping = True
        await asyncio.gather(*(task for _, task in flying), return_exceptions=True)
