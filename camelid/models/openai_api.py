"""The OpenAI-compatible client: OpenAI, vLLM and every server that speaks the same protocol."""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from camelid.models.llm import FATAL, Failure, Reply, Request, Usage
from camelid.models.protocol import TIMEOUT, connect, connection_failure
from camelid.models.read_reply import as_chat, read_completion
from camelid.models.request_body import REFUSED, BodyWriter
from camelid.models.server_error import AttemptResult, ServerError, error_in
from camelid.models.throttle import Throttle

logger = logging.getLogger(__name__)

ATTEMPTS = 6  # how often one request is sent at most
PAID_ATTEMPTS = 2  # of those that were billed and gave nothing
REWRITES = 10  # times a request is written anew for what a server says it does not take
LONG = 30.0  # seconds; a server that asks to wait longer is said to
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between attempts, doubling, where the server names no time


@dataclass
class _Server:
    """One of the servers requests are spread over.

    Attributes:
        client: its `openai.AsyncOpenAI`.
        throttle: how many requests it may have.
        failed: connections in a row that failed.
        down_until: it is passed over until then, if another one is up.
        used: when it was chosen last.
    """

    client: Any
    throttle: Throttle
    failed: int = 0
    down_until: float = 0.0
    used: float = 0.0

    def connection_failed(self, detail: str) -> None:
        if not self.failed:
            logger.warning("camelid: %s; trying again", detail)
        self.failed += 1
        self.down_until = time.monotonic() + min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(self.failed - 1, ATTEMPTS))


class OpenAIModel:
    """A model at one or more OpenAI-compatible servers.

    Args:
        name: the model's name there.
        base_url: the server or servers, e.g. `http://localhost:8000/v1`; None means OpenAI. Each request goes to the
            one with the least to do; one that cannot be reached is passed over for a while.
        concurrency: most requests in flight, over all servers. After a 429 a server gets fewer (see `Throttle`).
        timeout: seconds for one reply.
        first_wait: seconds before the second attempt, where the server names no time.
        continuing: a request's last message is a text to be gone on with, or, with `suffix` in its `extra`, to be
            filled in before that: `/v1/completions` is asked.

    Raises:
        UserError: there is no API key. With a `base_url` none is needed.
    """

    def __init__(
        self,
        name: str,
        base_url: str | Sequence[str] | None = None,
        concurrency: int = 16,
        timeout: float = TIMEOUT,
        first_wait: float = FIRST_WAIT,
        continuing: bool = False,
    ) -> None:
        self.name = name
        urls = [base_url] if base_url is None or isinstance(base_url, str) else list(base_url)
        self._servers = [_Server(connect(name, url, timeout), Throttle(concurrency)) for url in urls]
        self._gate = asyncio.Semaphore(concurrency)
        self._timeout, self._first_wait = timeout, first_wait
        self._writer = BodyWriter(name, base_url is None, continuing)
        self._continuing = continuing
        self._answered = self._replied = False  # whether any server has said anything yet; given a reply
        self._said_until = 0.0  # when a pause that was said is over
        self._fatal: Failure | None = None  # once something fails for good, nothing more is sent
        self._fatal_known = asyncio.Event()

    async def complete(self, request: Request) -> Reply | Failure:
        """Send a request, again where that can help; see `FailureKind` for what cannot be helped."""
        failure = Failure("connection", "not sent", 0)
        billed, paid = Usage(), 0
        async with self._gate:
            for attempt in range(1, ATTEMPTS + 1):
                server = self._pick()
                outcome = await self._attempt(server, request)
                if isinstance(outcome, Reply):
                    return replace(outcome, usage=outcome.usage + billed)
                failure, wait = outcome
                billed += failure.usage
                paid += failure.usage != Usage()
                failure = replace(failure, attempts=attempt - 1 + failure.attempts, usage=billed)
                if failure.kind == "connection" and attempt == ATTEMPTS and not self._answered:
                    failure = replace(failure, kind="unreachable")
                if failure.kind in FATAL and self._fatal is None:
                    self._fatal = failure
                    self._fatal_known.set()
                if wait is None or paid == PAID_ATTEMPTS:
                    return failure
                elsewhere = failure.kind == "connection" and self._pick() is not server
                if attempt < ATTEMPTS and not elsewhere:
                    self._say_long(wait, failure)
                    await self._pause(
                        wait or random.uniform(0.5, 1) * min(LONGEST_WAIT, self._first_wait * 2 ** (attempt - 1))
                    )
        return failure

    async def close(self) -> None:
        """Close all connections; in the event loop that used them."""
        for server in self._servers:
            await server.client.close()

    def _pick(self) -> _Server:
        """The server with the least to do, the longest unused of several; one that is down only if all are."""
        now = time.monotonic()
        up = [server for server in self._servers if server.down_until <= now]
        if not up:
            return min(self._servers, key=lambda server: server.down_until)
        return min(up, key=lambda server: (server.throttle.load, server.used))

    async def _attempt(self, server: _Server, request: Request) -> AttemptResult:
        """Send once, when the server's throttle lets it: a reply, or a failure and how long to wait before another."""
        server.used = time.monotonic()
        async with server.throttle:
            while self._fatal is None and (delay := server.throttle.delay()):
                await self._pause(delay)
            if self._fatal is not None:
                return replace(self._fatal, attempts=0, usage=Usage()), None
            sent = time.monotonic()
            outcome = await self._send(server.client, request)
        self._answered |= isinstance(outcome, Reply) or outcome[0].kind != "connection"
        if isinstance(outcome, Reply):
            self._replied = True
            server.failed, server.down_until = 0, 0.0
            server.throttle.replied()
        elif outcome[0].kind == "rate_limit":
            server.throttle.limited(sent, outcome[1] or 0.0)
        elif outcome[0].kind == "connection":
            server.connection_failed(outcome[0].detail)
        return outcome

    async def _send(self, client: Any, request: Request) -> AttemptResult:
        """Send once, and again at once as often as the server's refusals teach to write the request differently."""
        room: int | None = None
        body = self._writer.body(request)
        rewrites = 0
        while True:
            outcome = await self._post(client, body)
            if not isinstance(outcome, ServerError):
                return outcome
            if outcome.status in REFUSED:
                room = self._writer.room(outcome, body) or room
                if self._writer.body(request, room) == body:  # else another request has taught it meanwhile
                    self._writer.learn(outcome, body)
            rewritten = self._writer.body(request, room)
            if outcome.status not in REFUSED or rewritten == body or rewrites == REWRITES:
                return self._meaning(outcome)
            body, rewrites = rewritten, rewrites + 1

    async def _post(self, client: Any, body: dict[str, Any]) -> AttemptResult | ServerError:
        import openai

        try:
            # Parsed JSON as it came: the package's models would cost more time than all the rest.
            path = "/completions" if self._continuing else "/chat/completions"
            answer = await client.post(path, body=body, cast_to=object)
        except openai.APIConnectionError as error:
            return connection_failure(error, client.base_url, self._timeout), 0.0
        except openai.APIStatusError as error:
            return ServerError.read(error.status_code, error.body, error.response.headers)
        except (openai.APIError, ValueError, TypeError, RecursionError) as error:
            return Failure("malformed", f"not an OpenAI reply: {error}"), 0.0
        return error_in(answer) or read_completion(as_chat(answer) if self._continuing else answer)

    def _meaning(self, error: ServerError) -> tuple[Failure, float | None]:
        failure, wait = error.failure()
        if error.status == 403 and self._replied and failure.kind == "authentication":
            return replace(failure, kind="bad_request"), None  # the key has opened the door before
        return failure, wait

    def _say_long(self, wait: float, failure: Failure) -> None:
        """Tell the user why nothing happens, once for all the requests that wait."""
        if wait >= LONG and time.monotonic() >= self._said_until:
            self._said_until = time.monotonic() + wait
            logger.warning("camelid: %s; waiting %.0f s, as the server asks", failure.detail, wait)

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless meanwhile something fails for good."""
        try:
            await asyncio.wait_for(self._fatal_known.wait(), seconds)
        except TimeoutError:
            return


async def list_models(base_url: str | None, timeout: float) -> list[str] | Failure:
    """Names of the models a server offers: the cheapest question there is, to see whether the key works.

    Args:
        base_url: the server; None means OpenAI.
        timeout: seconds for the whole question.

    Raises:
        UserError: there is no API key.
    """
    import openai

    async with connect("any", base_url, timeout) as client:
        try:
            return [model.id async for model in client.models.list()]
        except openai.APIConnectionError as error:
            return connection_failure(error, client.base_url, timeout)
        except openai.APIStatusError as error:
            return ServerError.read(error.status_code, error.body, error.response.headers).failure()[0]
        except (openai.APIError, ValueError, TypeError) as error:
            return Failure("malformed", f"not an OpenAI reply: {error}")
