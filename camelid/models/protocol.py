"""OpenAI's protocol on the wire: the connection, a request as JSON, and what a reply or an error means."""

import os
import time
from email.utils import parsedate_to_datetime
from typing import Any

from camelid.errors import UserError
from camelid.models.llm import Failure, FailureKind, Reply, Request, Usage

TIMEOUT = 600.0  # seconds for one reply, the openai package's default


CONNECT_TIMEOUT = 5.0  # seconds to reach a server, the openai package's default


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
        return Failure(kind, message), retry_after(headers)
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


def retry_after(headers: Any) -> float:
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
