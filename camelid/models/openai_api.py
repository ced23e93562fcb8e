"""The OpenAI-compatible client: OpenAI, vLLM and every server that speaks the same protocol."""

import asyncio
import logging
import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from camelid.errors import UserError
from camelid.models.llm import FATAL, Failure, FailureKind, Reply, Request, Usage
from camelid.models.throttle import Throttle

logger = logging.getLogger(__name__)

ATTEMPTS = 6  # how often one request is sent at most
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between attempts, doubling, where the server names no time
TIMEOUT = 600.0  # seconds for one reply, the openai package's default
CONNECT_TIMEOUT = 5.0  # seconds to reach a server, the openai package's default


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
    ) -> None:
        self.name = name
        urls = [base_url] if base_url is None or isinstance(base_url, str) else list(base_url)
        self._servers = [_Server(connect(name, url, timeout), Throttle(concurrency)) for url in urls]
        self._gate = asyncio.Semaphore(concurrency)
        self._timeout, self._first_wait = timeout, first_wait
        self._writer = BodyWriter(name, at_openai=base_url is None)
        self._answered = False  # whether any server has said anything yet
        self._fatal: Failure | None = None  # once something fails for good, nothing more is sent
        self._fatal_known = asyncio.Event()

    async def complete(self, request: Request) -> Reply | Failure:
        """Send a request, again where that can help; see `FailureKind` for what cannot be helped."""
        failure = Failure("connection", "not sent", 0)
        billed = Usage()
        async with self._gate:
            for attempt in range(1, ATTEMPTS + 1):
                server = self._pick()
                outcome = await self._attempt(server, request)
                if isinstance(outcome, Reply):
                    return replace(outcome, usage=outcome.usage + billed)
                failure, wait = outcome
                billed += failure.usage
                failure = replace(failure, attempts=attempt - 1 + failure.attempts, usage=billed)
                if failure.kind == "connection" and attempt == ATTEMPTS and not self._answered:
                    failure = replace(failure, kind="unreachable")
                if failure.kind in FATAL and self._fatal is None:
                    self._fatal = failure
                    self._fatal_known.set()
                if wait is None:
                    return failure
                elsewhere = failure.kind == "connection" and self._pick() is not server
                if attempt < ATTEMPTS and not elsewhere:
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

    async def _attempt(self, server: _Server, request: Request) -> Reply | tuple[Failure, float | None]:
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
            server.failed, server.down_until = 0, 0.0
            server.throttle.replied()
        elif outcome[0].kind == "rate_limit":
            server.throttle.limited(sent, outcome[1] or 0.0)
        elif outcome[0].kind == "connection":
            server.connection_failed(outcome[0].detail)
        return outcome

    async def _send(self, client: Any, request: Request) -> Reply | tuple[Failure, float | None]:
        import openai

        try:
            # Parsed JSON as it came: the package's models would cost more time than all the rest.
            answer = await client.post("/chat/completions", body=self._writer.body(request), cast_to=object)
        except openai.APIConnectionError as error:
            return connection_failure(error, client.base_url, self._timeout), 0.0
        except openai.APIStatusError as error:
            if self._writer.adapt(error.status_code, str(error.message)):
                return Failure("bad_request", str(error.message)), 0.001
            return status_failure(error.status_code, error.body, error.message, error.response.headers)
        except (openai.APIError, ValueError, TypeError) as error:
            return Failure("malformed", f"not an OpenAI reply: {error}"), 0.0
        return read_completion(answer)

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless meanwhile something fails for good."""
        try:
            await asyncio.wait_for(self._fatal_known.wait(), seconds)
        except TimeoutError:
            return


def connect(name: str, base_url: str | None, timeout: float = TIMEOUT, retries: int = 0) -> Any:
    """An `openai.AsyncOpenAI` for a server; None means OpenAI.

    Its transport is aiohttp: with hundreds of connections the default one spends four times the processor time, most of
    it looking for a free connection.

    Raises:
        UserError: there is no API key (with a `base_url` none is needed), or the server's address is none.
    """
    import openai

    option, address = "--base-url", base_url
    if base_url is None:  # the library takes the variable
        option, address = "OPENAI_BASE_URL", os.environ.get("OPENAI_BASE_URL") or None
    if address is not None and not address.startswith(("http://", "https://")):
        raise UserError(f"{option} {address}: must begin with http:// or https://, as http://localhost:8000/v1")
    key = os.environ.get("OPENAI_API_KEY") or (None if base_url is None else "none")
    if key is None:
        raise UserError(
            f"--model {name}: no API key; set OPENAI_API_KEY, name a server with --base-url, "
            "or use --model offline or a model folder"
        )
    limits = openai.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT))
    http_client = openai.DefaultAioHttpClient(timeout=limits)
    return openai.AsyncOpenAI(
        api_key=key, base_url=base_url, timeout=limits, max_retries=retries, http_client=http_client
    )


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
            failure, _ = status_failure(error.status_code, error.body, error.message, error.response.headers)
            return failure
        except (openai.APIError, ValueError, TypeError) as error:
            return Failure("malformed", f"not an OpenAI reply: {error}")


class BodyWriter:
    """Writes requests as the protocol's JSON.

    Args:
        name: the model's name.
        at_openai: whether this is OpenAI itself.
    """

    def __init__(self, name: str, at_openai: bool) -> None:
        self._name, self._at_openai = name, at_openai
        self._token_limit = "max_completion_tokens" if at_openai else "max_tokens"

    def body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._name,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        }
        # OpenAI's own default is 1 for both, and its reasoning models take no other word on it; a local server's
        # default may be whatever the model's folder says.
        if request.temperature != 1 or not self._at_openai:
            body["temperature"] = request.temperature
        if request.top_p != 1 or not self._at_openai:
            body["top_p"] = request.top_p
        if request.max_tokens is not None:
            body[self._token_limit] = request.max_tokens
        if request.stop:
            body["stop"] = list(request.stop)
        if request.seed is not None:
            body["seed"] = request.seed
        return {**body, **request.extra}

    def adapt(self, status: int, message: str) -> bool:
        """Whether to send again, written differently: newer OpenAI models take no `max_tokens`."""
        if status == 400 and "max_completion_tokens" in message and self._token_limit == "max_tokens":
            self._token_limit = "max_completion_tokens"
            return True
        return False


def connection_failure(error: Exception, base_url: object, timeout: float) -> Failure:
    """What an `openai.APIConnectionError` means. The aiohttp transport calls a refused one `ConnectTimeout`."""
    import openai

    cause = error.__cause__
    if isinstance(error, openai.APITimeoutError) and type(cause).__name__ != "ConnectTimeout":
        return Failure("timeout", f"no reply within {timeout:g} s")
    return Failure("connection", f"{base_url}: {cause or error}")


def status_failure(status: int, error: Any, message: str, headers: Any) -> tuple[Failure, float | None]:
    """What an HTTP error means: a failure and how long to wait (0 = unknown, None = don't try again).

    Args:
        status: 400 or more.
        error: the body's `error` object.
        message: for a person.
        headers: may name a time to wait.
    """
    error = error if isinstance(error, dict) else {}
    code, message = str(error.get("code") or ""), f"HTTP {status}: {message}"
    if status in (401, 403):
        return Failure("authentication", f"{message}; check OPENAI_API_KEY"), None
    if status == 402 or "insufficient_quota" in (code, error.get("type")):
        return Failure("quota", message), None
    if status == 404:
        return Failure("not_found", f"{message}; check --model and --base-url"), None
    if status in (408, 409, 429) or status >= 500:
        kind: FailureKind = "rate_limit" if status == 429 else "timeout" if status == 408 else "server"
        return Failure(kind, message), _retry_after(headers)
    return Failure("content_filter" if code == "content_filter" else "bad_request", message), None


def read_completion(answer: Any) -> Reply | tuple[Failure, float | None]:
    """Check that an answer holds what the protocol promises."""
    try:
        used = answer.get("usage") or {}
        usage = Usage(int(used.get("prompt_tokens") or 0), int(used.get("completion_tokens") or 0))
        if not answer.get("choices"):
            return Failure("malformed", "the reply has no choices", usage=usage), 0.0
        choice = answer["choices"][0]
        text, reason = choice["message"].get("content"), choice.get("finish_reason")
        refusal = choice["message"].get("refusal")
        if reason == "content_filter" or (refusal and not text):
            return Failure("content_filter", refusal or "the provider withheld the answer", usage=usage), None
        if not isinstance(text, str):
            return Failure("malformed", "the reply has no text", usage=usage), 0.0
        logprobs = tuple(
            {**{rival["token"]: rival["logprob"] for rival in token.get("top_logprobs") or ()}, token["token"]: logprob}
            for token in (choice.get("logprobs") or {}).get("content") or ()
            if (logprob := token["logprob"]) is not None
        )
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        return Failure("malformed", f"not an OpenAI reply: {type(error).__name__}: {error}"), 0.0
    return Reply(text, str(answer.get("model")), "length" if reason == "length" else "stop", usage, logprobs)


def _retry_after(headers: Any) -> float:
    """Seconds the server asks to wait (RFC 9110, section 10.2.3, and OpenAI's `retry-after-ms`); 0 = not said."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return 0.0
        if value.replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0
