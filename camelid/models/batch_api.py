"""OpenAI's Batch API behind the LLM protocol: the same replies for half the price, within 24 hours.

Requests that wait at the same time go into one file; the batch made of it is written down before it is waited for. So a
killed run, started again, picks its batches up where they are and pays for nothing twice.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camelid.files.read import read_jsonl
from camelid.files.write import AppendLog
from camelid.models.batch_results import LineResult, TooLarge, as_failure, call_failure, missing, read_result_lines
from camelid.models.llm import FATAL, Failure, Reply, Request
from camelid.models.protocol import connect
from camelid.models.request_body import REFUSED, BodyWriter
from camelid.models.server_error import ServerError

# A file may hold 50,000 requests and 200 MB (platform.openai.com/docs/api-reference/batch/create).
MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
WINDOW = 24 * 3600  # seconds; "24h" is the only completion window there is (same page)
GRACE = 3600  # seconds after the window in which the provider may still be finishing
GATHER = 1.0  # seconds without a new request after which those waiting are sent
POLL = 30.0  # seconds between looks at a batch
RETRIES = 5  # of calls that can be repeated without harm, by the openai package
DONE = frozenset({"completed", "failed", "expired", "cancelled"})

SPLITS = 8  # times a batch that is too large is halved, before its requests fail


@dataclass
class _WaitingRequest:
    """A request for the next batch.

    Attributes:
        request: what to ask.
        answered: where its reply goes.
        body: as it is written now.
        room: the most tokens its prompt leaves for the answer, where the server has said so.
    """

    request: Request
    answered: asyncio.Future[Reply | Failure]
    body: dict[str, Any]
    room: int | None = None

    def line(self, key: str) -> bytes:
        """Its line in the batch's file."""
        line = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": self.body}
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"


@dataclass
class _Sent:
    """A batch as the log knows it: its requests' keys, and its id once the provider has given one."""

    keys: list[str]
    batch: str | None = None


class BatchModel:
    """A model at OpenAI or a server with OpenAI's Files and Batch API.

    Args:
        name: the model's name there.
        log: the file that remembers which batches were made.
        base_url: the server; None means OpenAI.
        poll: seconds between looks at a batch.
        gather: seconds without a new request after which those waiting are sent.

    Raises:
        UserError: there is no API key. With a `base_url` none is needed.
    """

    def __init__(
        self, name: str, log: Path, base_url: str | None = None, poll: float = POLL, gather: float = GATHER
    ) -> None:
        self.name = name
        self._client = connect(name, base_url, retries=RETRIES)
        self._writer = BodyWriter(name, at_openai=base_url is None)
        self._path, self._poll, self._gather = log, poll, gather
        self._earlier = _read_log(log)
        self._token_of = {key: token for token, sent in self._earlier.items() for key in sent.keys}
        self._picked_up: dict[str, asyncio.Task[dict[str, Reply | Failure]]] = {}
        self._waiting: dict[str, _WaitingRequest] = {}
        self._collector: asyncio.Task[None] | None = None
        self._batches: set[asyncio.Task[None]] = set()
        self._fatal: Failure | None = None

    async def complete(self, request: Request) -> Reply | Failure:
        """Answer from a batch made earlier, or put the request into the next one."""
        key = request.key(self.name)
        if key in self._token_of:
            result = (await self._pick_up(self._token_of[key])).get(key)
            if isinstance(result, Reply):
                return result  # else it is asked anew, like any failure of an earlier run
        if self._fatal is not None:
            return self._fatal
        answered: asyncio.Future[Reply | Failure] = asyncio.get_running_loop().create_future()
        self._waiting[key] = _WaitingRequest(request, answered, self._writer.body(request))
        if self._collector is None or self._collector.done():
            self._collector = asyncio.create_task(self._collect())
        return await answered

    async def close(self) -> None:
        """Stop waiting (the batches go on) and close all connections."""
        tasks = [*self._batches, *self._picked_up.values(), *([self._collector] if self._collector else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    async def _collect(self) -> None:
        """Wait until no more requests come, then send those that wait."""
        while self._waiting:
            before = -1
            while before != len(self._waiting):
                before = len(self._waiting)
                await asyncio.sleep(self._gather)
            waiting, self._waiting = self._waiting, {}
            for group in _files(waiting):
                task = asyncio.create_task(self._send(group))
                self._batches.add(task)
                task.add_done_callback(self._batches.discard)

    async def _send(self, group: dict[str, _WaitingRequest]) -> None:
        """Make one batch, wait for it, hand out its results."""
        try:
            await self._answer(group, SPLITS)
        except Exception as error:  # the futures must not hang, whatever it was
            for waiting in group.values():
                if not waiting.answered.done():
                    waiting.answered.set_exception(error)

    async def _answer(self, group: dict[str, _WaitingRequest], splits: int) -> None:
        """Hand out the result of each request: of one batch, or of two where one is too large.

        What a server refuses for how it is written goes into another, written as the server takes it.
        """
        batch = self._fatal or await self._create(uuid.uuid4().hex, group)
        results = await self._results(batch, list(group)) if isinstance(batch, str) else batch
        if isinstance(results, TooLarge) and len(group) > 1 and splits:
            print(f"{results.failure.detail}; halved", file=sys.stderr, flush=True)
            keys = list(group)
            for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):  # one at a time: the queue's room is limited
                await self._answer({key: group[key] for key in half}, splits - 1)
            return
        if not isinstance(results, dict):
            failure = as_failure(results)
            if failure.kind in FATAL and self._fatal is None:
                self._fatal = replace(failure, attempts=0)
            results = dict.fromkeys(group, failure)
        rewritten = {key: item for key, item in group.items() if self._rewrite(item, results[key])}
        for key, waiting in group.items():
            if key not in rewritten and not waiting.answered.done():
                waiting.answered.set_result(_final(results[key]))
        if rewritten:
            await self._answer(rewritten, splits)

    def _rewrite(self, waiting: _WaitingRequest, result: LineResult) -> bool:
        """Whether a request was refused for how it was written and is now written differently (see `BodyWriter`)."""
        if not isinstance(result, ServerError) or result.status not in REFUSED:
            return False
        waiting.room = self._writer.room(result, waiting.body) or waiting.room
        if self._writer.body(waiting.request, waiting.room) == waiting.body:
            self._writer.learn(result, waiting.body)
        before, waiting.body = waiting.body, self._writer.body(waiting.request, waiting.room)
        return waiting.body != before

    async def _create(self, token: str, group: dict[str, _WaitingRequest]) -> str | Failure | TooLarge:
        """Upload a file and make a batch of it; return its id once it is on disk.

        The intention is written down first: if this process dies, or the connection breaks, between the provider making
        the batch and us learning its id, the batch is found by the token in its metadata.
        """
        import openai

        with AppendLog(self._path) as log:
            log.append({"token": token, "keys": list(group)})
        content = b"".join(waiting.line(key) for key, waiting in group.items())
        try:
            file = await self._client.files.create(file=(f"{token}.jsonl", content), purpose="batch")
            batch = None
            once = self._client.with_options(max_retries=0)
            for attempt in range(1, RETRIES + 1):
                try:
                    made = await once.batches.create(
                        input_file_id=file.id,
                        endpoint="/v1/chat/completions",
                        completion_window="24h",
                        metadata={"camelid": token},
                    )
                    batch = str(made.id)
                except (openai.APIConnectionError, openai.InternalServerError):
                    batch = await self._find(token)
                    if batch is None and attempt == RETRIES:
                        raise
                if batch is not None:
                    break
                await asyncio.sleep(min(self._poll, 2**attempt))
        except openai.OpenAIError as error:
            return call_failure(error)
        assert batch is not None
        with AppendLog(self._path) as log:
            log.append({"token": token, "batch": batch})
        print(f"batch {batch}: {len(group):,} requests; may be interrupted, the same command picks it up",
              file=sys.stderr, flush=True)  # fmt: skip
        return batch

    async def _find(self, token: str) -> str | None:
        """The id of the batch that carries the token, if there is one."""
        async for batch in self._client.batches.list(limit=100):
            if (batch.metadata or {}).get("camelid") == token:
                return str(batch.id)
        return None

    async def _pick_up(self, token: str) -> dict[str, Reply | Failure]:
        """The results of a batch that an earlier run made, waited for once for all its requests."""
        if token not in self._picked_up:
            self._picked_up[token] = asyncio.create_task(self._earlier_results(token))
        return await asyncio.shield(self._picked_up[token])

    async def _earlier_results(self, token: str) -> dict[str, Reply | Failure]:
        import openai

        sent = self._earlier[token]
        try:
            batch = sent.batch or await self._find(token)
        except openai.OpenAIError as error:
            return dict.fromkeys(sent.keys, as_failure(call_failure(error)))
        if batch is None:
            return {}
        print(f"batch {batch}: picked up, {len(sent.keys):,} requests", file=sys.stderr, flush=True)
        results = await self._results(batch, sent.keys)
        return {key: _final(result) for key, result in results.items()} if isinstance(results, dict) else {}

    async def _results(self, batch: str, keys: list[str]) -> dict[str, LineResult] | Failure | TooLarge:
        """Wait for a batch and read a result for each key."""
        import openai

        until = time.monotonic() + WINDOW + GRACE
        while True:
            try:
                state = await self._client.batches.retrieve(batch)
                if state.status in DONE:
                    break
            except (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError) as error:
                failure = as_failure(call_failure(error))
            except openai.OpenAIError as error:
                return as_failure(call_failure(error))
            else:
                failure = Failure("timeout", f"batch {batch} is still {state.status} after its window has passed")
            if time.monotonic() > until:
                return failure
            await asyncio.sleep(self._poll)
        texts: list[str] = []
        problem: Failure | TooLarge | None = None
        for file in filter(None, (state.output_file_id, state.error_file_id)):
            try:
                texts.append((await self._client.files.content(file)).text)
            except openai.OpenAIError as error:
                problem = call_failure(error)
        results, broken = read_result_lines(texts)
        problem = problem or broken or missing(state)
        if isinstance(problem, TooLarge) and not results:
            return problem
        return {key: results.get(key, as_failure(problem)) for key in keys}


def _final(result: LineResult) -> Reply | Failure:
    return result.failure()[0] if isinstance(result, ServerError) else result


def _read_log(path: Path) -> dict[str, _Sent]:
    """Batches by token, in the order they were made."""
    sent: dict[str, _Sent] = {}
    if path.exists():
        AppendLog(path).close()  # cuts off a torn line
        for _, record in read_jsonl(path):
            if "keys" in record:
                sent[record["token"]] = _Sent(record["keys"])
            else:
                sent[record["token"]].batch = record["batch"]
    return sent


def _files(
    waiting: dict[str, _WaitingRequest],
) -> Iterator[dict[str, _WaitingRequest]]:
    """Cut the requests that wait into groups, each small enough for one file."""
    group: dict[str, _WaitingRequest] = {}
    size = 0
    for key, item in waiting.items():
        length = len(item.line(key))
        if group and (len(group) == MOST_REQUESTS or size + length > MOST_BYTES):
            yield group
            group, size = {}, 0
        group[key] = item
        size += length
    if group:
        yield group
