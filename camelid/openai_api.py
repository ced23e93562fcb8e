"""The OpenAI-compatible client: OpenAI, vLLM and every server that speaks the same protocol."""

import asyncio
import os
import random
import time
from email.utils import parsedate_to_datetime
from typing import Any

from camelid.errors import UserError
from camelid.llm import Failure, FailureKind, Reply, Request, Usage

ATTEMPTS = 6  # how often one request is sent at most
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds between attempts, doubling, where the server names no time
TIMEOUT = 600.0  # seconds for one reply, the openai package's default


class OpenAIModel:
    """A model at an OpenAI-compatible server.

    Args:
        name: the model's name there.
        base_url: the server, e.g. `http://localhost:8000/v1`; None means OpenAI.
        concurrency: most requests in flight; the connection pool has as many places.
        timeout: seconds for one reply.
        first_wait: seconds before the second attempt, where the server names no time.

    Raises:
        UserError: there is no API key. With a `base_url` none is needed.
    """

    def __init__(
        self,
        name: str,
        base_url: str | None = None,
        concurrency: int = 16,
        timeout: float = TIMEOUT,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        import openai

        key = os.environ.get("OPENAI_API_KEY") or (None if base_url is None else "none")
        if key is None:
            raise UserError(
                f"--model {name}: no API key; set OPENAI_API_KEY, name a server with --base-url, "
                "or use --model offline or a model folder"
            )
        self.name = name
        self._client = openai.AsyncOpenAI(api_key=key, base_url=base_url, timeout=timeout, max_retries=0)
        self._gate = asyncio.Semaphore(concurrency)
        self._first_wait = first_wait
        self._not_before = 0.0  # after a rate limit, all requests wait until then
        self._token_limit = "max_completion_tokens" if base_url is None else "max_tokens"

    async def complete(self, request: Request) -> Reply | Failure:
        """Send a request, again where that can help; see `FailureKind` for what cannot be helped."""
        failure = Failure("connection", "not sent", 0)
        async with self._gate:
            for attempt in range(1, ATTEMPTS + 1):
                await asyncio.sleep(max(0.0, self._not_before - time.monotonic()))
                outcome = await self._send(request)
                if isinstance(outcome, Reply):
                    return outcome
                failure, wait = outcome
                failure = Failure(failure.kind, failure.detail, attempt)
                if wait is None:
                    return failure
                if attempt < ATTEMPTS:
                    wait = wait or random.uniform(0.5, 1) * min(LONGEST_WAIT, self._first_wait * 2 ** (attempt - 1))
                    if failure.kind == "rate_limit":
                        self._not_before = max(self._not_before, time.monotonic() + wait)
                    else:
                        await asyncio.sleep(wait)
        return failure

    async def _send(self, request: Request) -> Reply | tuple[Failure, float | None]:
        """One attempt: a reply, or a failure and how long to wait (0 = unknown, None = don't try again)."""
        import openai

        try:
            answer = await self._client.chat.completions.create(**self._body(request))
        except openai.APITimeoutError:
            return Failure("timeout", f"no reply within {self._client.timeout} s"), 0.0
        except openai.APIConnectionError as error:
            return Failure("connection", f"{self._client.base_url}: {error.__cause__ or error}"), 0.0
        except openai.APIStatusError as error:
            return self._status_failure(error)
        except (openai.APIError, ValueError, TypeError) as error:
            return Failure("malformed", f"not an OpenAI reply: {error}"), 0.0
        return _read(answer)

    def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "temperature": request.temperature,
            "top_p": request.top_p,
            **request.extra,
        }
        if request.max_tokens is not None:
            body[self._token_limit] = request.max_tokens
        if request.stop:
            body["stop"] = list(request.stop)
        if request.seed is not None:
            body["seed"] = request.seed
        return body

    def _status_failure(self, error: Any) -> tuple[Failure, float | None]:
        status, message = error.status_code, f"HTTP {error.status_code}: {error.message}"
        code = str(getattr(error, "code", "") or "")
        if status == 400 and "max_completion_tokens" in message and self._token_limit == "max_tokens":
            self._token_limit = "max_completion_tokens"  # newer OpenAI models take no max_tokens
            return Failure("bad_request", message), 0.001
        if status in (401, 403):
            return Failure("authentication", f"{message}; check OPENAI_API_KEY"), None
        if status == 402 or "insufficient_quota" in (code, str(getattr(error, "type", ""))):
            return Failure("quota", message), None
        if status == 404:
            return Failure("not_found", f"{message}; check --model and --base-url"), None
        if status in (408, 409, 429) or status >= 500:
            kind: FailureKind = "rate_limit" if status == 429 else "timeout" if status == 408 else "server"
            return Failure(kind, message), _retry_after(error.response.headers)
        return Failure("content_filter" if code == "content_filter" else "bad_request", message), None


def _read(answer: Any) -> Reply | tuple[Failure, float | None]:
    """Check that an answer holds what the protocol promises."""
    choices = getattr(answer, "choices", None)
    if not choices:
        return Failure("malformed", "the reply has no choices"), 0.0
    choice = choices[0]
    text, reason = getattr(choice.message, "content", None), choice.finish_reason
    if reason == "content_filter":
        return Failure("content_filter", "the provider withheld the answer"), None
    if not isinstance(text, str):
        return Failure("malformed", "the reply has no text"), 0.0
    used = answer.usage
    usage = Usage(used.prompt_tokens, used.completion_tokens) if used else Usage()
    return Reply(text, str(answer.model), "length" if reason == "length" else "stop", usage)


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
