"""What a server says when it refuses: read from any of the shapes in use, and what it means for a run."""

import math
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from camelid.files.encodable import mend_text
from camelid.models.llm import Failure, FailureKind, Reply

AttemptResult = Reply | tuple[Failure, float | None]
"""A reply; or a failure and how many seconds to wait before another attempt (0 = not said, None = don't try again)."""

LONGEST_PAUSE = 600.0  # seconds a run waits for a server that asks for it, as long as for a reply (`protocol.TIMEOUT`)
MOST_WORDS = 500  # characters kept of a server's message

# OpenAI (`insufficient_quota`, `billing_...`), DeepSeek, one-api; OpenRouter's and Anthropic's say it in words.
_NO_MONEY = re.compile(
    r"insufficient_(?:user_)?quota|insufficient_balance|billing_(?:hard_limit|not_active)|insufficient credits"
    r"|credit balance is too low",
    re.IGNORECASE,
)
# OpenAI (`content_policy_violation`, `invalid_prompt`), Azure, OpenRouter (`moderation`, "flagged"), Alibaba.
_MODERATED = re.compile(
    r"moderat|flagged|content[_ -]?(?:filter|policy|management)|polic(?:y|ies) violation|usage polic|invalid_prompt"
    r"|responsibleai|data_inspection_failed|inappropriate content|safety (?:system|reasons|polic)",
    re.IGNORECASE,
)
# A 403 that says none of this is about one prompt, in words not known above.
_NO_ENTRY = re.compile(
    r"key|token|auth|permission|credential|access|account|organi[sz]ation|project|subscri|countr|region|billing",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ServerError:
    """A refusal.

    Attributes:
        status: as in HTTP, 400 or more.
        codes: whatever the server calls it: code, type, inner code, reasons.
        param: the parameter it names; empty if none.
        message: its own words, one line.
        wait: seconds it asks to wait; 0 = not said.
    """

    status: int
    codes: str
    param: str
    message: str
    wait: float = 0.0

    @staticmethod
    def read(status: int, body: Any, headers: Any) -> "ServerError":
        """Read a response: `{"error": {...}}` or what is inside it, FastAPI's `{"detail": ...}`, plain text."""
        error = body.get("error", body) if isinstance(body, dict) else body
        if not isinstance(error, dict):
            return ServerError(status, "", "", _one_line(error), retry_after(headers))
        metadata, inner = error.get("metadata"), error.get("innererror")
        codes = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict) else None]
        codes += (metadata.get("reasons") or []) if isinstance(metadata, dict) else []
        words = _words(error)
        if isinstance(metadata, dict) and metadata.get("raw"):  # OpenRouter: what the provider behind it said
            words += f" ({_one_line(metadata['raw'])})"
        param = _param(error)
        return ServerError(status, " ".join(str(code) for code in codes if code), param, words, retry_after(headers))

    def failure(self) -> tuple[Failure, float | None]:
        """What it means: a failure, and when to try again."""
        detail = f"HTTP {self.status}: {self.message}"
        said = f"{self.codes} {self.message}"
        if self.status == 402 or _NO_MONEY.search(said):
            return Failure("quota", detail), None
        if self.status in (400, 403, 422, 451) and _MODERATED.search(said):
            return Failure("content_filter", detail), None
        if self.status == 403 and not _NO_ENTRY.search(said):
            return Failure("bad_request", detail), None
        if self.status in (401, 403):
            return Failure("authentication", f"{detail}; check OPENAI_API_KEY"), None
        if self.status == 404 and "parameters" in self.message:  # OpenRouter: nobody serves the model with these
            return Failure("bad_request", detail), None
        if self.status == 404:
            return Failure("not_found", f"{detail}; check --model and --base-url"), None
        if self.status in (408, 409, 425, 429) or self.status >= 500:
            if self.wait > LONGEST_PAUSE:
                resume = "run the same command again then, it goes on from here"
                return Failure("come_back", f"{detail}; the server asks to wait {_hours(self.wait)}: {resume}"), None
            kind: FailureKind = "rate_limit" if self.status == 429 else "timeout" if self.status == 408 else "server"
            return Failure(kind, detail), self.wait
        return Failure("bad_request", detail), None


def error_in(answer: Any) -> ServerError | None:
    """The refusal that came as the body of a success (HTTP 200), if it is one."""
    if not isinstance(answer, dict):
        return None
    if not answer.get("error") and answer.get("object") != "error":
        return None
    error = answer.get("error") or answer
    code = error.get("code") if isinstance(error, dict) else None
    kind = str(error.get("type") or "") if isinstance(error, dict) else ""
    digits = str(code or "")[:3]  # FastChat's and vLLM's codes begin with HTTP's (40303)
    status = int(digits) if digits.isdigit() and 400 <= int(digits) < 600 else 400 if "invalid" in kind else 500
    return ServerError.read(status, {"error": error}, {})


def retry_after(headers: Any) -> float:
    """Seconds the server asks to wait (RFC 9110, section 10.2.3, and OpenAI's `retry-after-ms`); 0 = not said."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            seconds = float(milliseconds) / 1000
        elif (value := headers.get("retry-after")) is None:
            return 0.0
        elif value.replace(".", "", 1).isdigit():
            seconds = float(value)
        else:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _words(error: dict[str, Any]) -> str:
    """The message of an error object, wherever it stands."""
    for name in ("message", "detail", "msg", "error", "reason"):
        value = error.get(name)
        if isinstance(value, list):  # FastAPI: one object a fault
            places = [
                (".".join(map(str, item.get("loc", ()))), item.get("msg")) for item in value if isinstance(item, dict)
            ]
            value = "; ".join(f"{place}: {said}" for place, said in places)
        if isinstance(value, dict):
            value = _words(value)
        if value:
            return _one_line(value)
    return _one_line(error or "no message")


def _param(error: dict[str, Any]) -> str:
    """The parameter that is at fault: OpenAI's `param`, or the end of FastAPI's `loc`."""
    detail = error.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict) and detail[0].get("loc"):
        return str(detail[0]["loc"][-1])
    return str(error.get("param") or "")


def _one_line(value: Any) -> str:
    text = " ".join(re.sub(r"<[^>]*>", " ", str(value)).split())  # a gateway's page of HTML
    return mend_text(text[:MOST_WORDS])[0] or "no message"


def _hours(seconds: float) -> str:
    """A time in words: `2 h 5 min`."""
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return " ".join(filter(None, (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "")))
