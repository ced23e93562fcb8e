"""What a batch came to: the lines of its files, and why a request has none."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from camelid.models.llm import Failure, Reply
from camelid.models.protocol import TIMEOUT, connection_failure
from camelid.models.read_reply import read_completion
from camelid.models.server_error import ServerError, error_in

LineResult = Reply | Failure | ServerError

# OpenAI's word for a batch that is more than the queue takes (platform.openai.com/docs/guides/batch), and for a file
# that is more than a server takes.
_TOO_MUCH = ("token_limit_exceeded", "too_large", "too large", "enqueued token limit")


@dataclass(frozen=True, slots=True)
class TooLarge:
    """A batch that would be taken if it were smaller."""

    failure: Failure


def read_result_lines(texts: Iterable[str]) -> tuple[dict[str, LineResult], Failure | None]:
    """The results in a batch's files by the key of their request, and what is wrong with a line that cannot be read.

    Of several lines for one request, a reply wins: it was paid for, whatever another line says.
    """
    results: dict[str, LineResult] = {}
    broken: Failure | None = None
    for text in texts:
        for line in text.split("\n"):
            if not line.strip():
                continue
            try:
                key, result = _line_result(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                broken = Failure("malformed", f"Batch API: a line of the results cannot be read: {error}")
                continue
            if not isinstance(results.get(key), Reply):
                results[key] = result
    return results, broken


def missing(state: Any) -> Failure | TooLarge:
    """Why a batch holds nothing for a request."""
    errors = (state.errors.data or []) if state.errors else []
    detail = "; ".join(f"{error.code}: {error.message}" for error in errors[:3]) or "it has no line for this request"
    detail = f"batch {state.id} is {state.status}: {detail}"
    if state.status == "failed":
        limited = any(word in f"{error.code} {error.message}".lower() for error in errors for word in _TOO_MUCH)
        return TooLarge(Failure("rate_limit", detail)) if limited else Failure("bad_request", detail)
    return Failure("timeout" if state.status == "expired" else "server", detail)


def call_failure(error: Exception) -> Failure | TooLarge:
    """A call about a file or a batch that went wrong, as a failure of all its requests."""
    import openai

    if isinstance(error, openai.APIStatusError):
        said = ServerError.read(error.status_code, error.body, error.response.headers)
        failure, _ = said.failure()
        if said.status == 413 or any(word in f"{said.codes} {said.message}".lower() for word in _TOO_MUCH):
            return TooLarge(failure)
        return failure
    if isinstance(error, openai.APIConnectionError):
        return connection_failure(error, "Batch API", TIMEOUT)
    return Failure("malformed", f"Batch API: {error}")


def as_failure(problem: Failure | TooLarge) -> Failure:
    """A problem that a smaller batch would not have, where there is no smaller one."""
    return problem.failure if isinstance(problem, TooLarge) else problem


def _line_result(record: dict[str, Any]) -> tuple[str, LineResult]:
    """One line of an output or error file: the request's key and what became of it."""
    key, response, error = str(record["custom_id"]), record.get("response"), record.get("error") or {}
    if response:
        status, body = int(response["status_code"]), response.get("body") or {}
        if status >= 400:
            return key, ServerError.read(status, body, {})
        if refused := error_in(body):
            return key, refused
        outcome = read_completion(body)
        return key, outcome if isinstance(outcome, Reply) else outcome[0]
    detail = f"{error.get('code')}: {error.get('message')}"
    return key, Failure("timeout" if error.get("code") == "batch_expired" else "server", detail)
