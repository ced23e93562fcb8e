"""What servers answer, shape by shape, and what must come of each: a table for every room that asks a model.

Each is what a provider documents or was seen to send, in its own words where words matter.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from time import time
from typing import Any

from camelid.models.llm import FailureKind
from camelid.models.openai_api import ATTEMPTS, PAID_ATTEMPTS

Response = tuple[int, dict[str, str], bytes]
"""Status, headers, body."""
PROMPT, COMPLETION = 20, 5  # tokens that a server which counts says each reply had
DRAFT = 'Draft: {"tasks": [{"instruction": "Draft this.", "input": "", "output": "x"}]} Rating: [[1]] [[A]]'


@dataclass(frozen=True)
class Shape:
    """What a server does.

    Attributes:
        respond: from the request's body and what the model would say to the response.
        kind: of the failure that must come of it; None if it must be a reply with just that text.
        sent: how often one request is sent.
        billed: how many of these the server counts tokens for.
        extra: fields that a request must have for this to happen.
        said: words of the provider that the failure's detail must hold.
    """

    respond: Callable[[dict[str, Any], str], Response]
    kind: FailureKind | None = None
    sent: int = 1
    billed: int = 1
    extra: dict[str, Any] = field(default_factory=dict)
    said: str = ""


def _json(status: int, body: Any, headers: dict[str, str] | None = None) -> Response:
    return status, headers or {}, json.dumps(body).encode()


def completion(text: Any, finish: str | None = "stop", usage: Any = "counted", **message: Any) -> dict[str, Any]:
    """A chat completion."""
    counted = {"prompt_tokens": PROMPT, "completion_tokens": COMPLETION, "total_tokens": PROMPT + COMPLETION}
    answer = {"role": "assistant", "content": text, **message}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
    body |= {"choices": [{"index": 0, "message": answer, "finish_reason": finish}]}
    return body if usage is None else {**body, "usage": counted if usage == "counted" else usage}


def _reply(make: Callable[[str], dict[str, Any]], billed: int = 1) -> Shape:
    return Shape(lambda _, text: _json(200, make(text)), billed=billed)


def _failing(
    status: int, body: Any, kind: FailureKind, sent: int = 1, said: str = "", headers: dict[str, str] | None = None
) -> Shape:
    """A failure that is not billed."""

    def respond(_: dict[str, Any], __: str) -> Response:
        return (status, headers or {}, body) if isinstance(body, bytes) else _json(status, body, headers)

    return Shape(respond, kind, sent, 0, said=said)


def _billed(body: dict[str, Any], kind: FailureKind, said: str = "") -> Shape:
    """A failure that is billed; one that another try may mend is tried twice."""
    sent = 1 if kind in ("cut_off", "refusal", "content_filter") else PAID_ATTEMPTS
    return Shape(lambda _, __: _json(200, body), kind, sent, sent, said=said)


def _error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **fields}}


def _refusing(name: str, body: dict[str, Any], status: int = 400, sent: int = 2, **extra: Any) -> Shape:
    """A server that refuses requests with a parameter, in its words, and answers those without."""

    def respond(asked: dict[str, Any], text: str) -> Response:
        return _json(status, body) if name in asked else _json(200, completion(text))

    return Shape(respond, sent=sent, extra=extra)


def _roomy(most: int, message: str, status: int = 400) -> Shape:
    """A server that refuses requests for more tokens than `most`, in its words."""

    def respond(asked: dict[str, Any], text: str) -> Response:
        limit = asked.get("max_tokens", 0)
        refused = _error(message.replace("{asked}", str(limit)).replace("{sum}", str(limit + 100)))
        return _json(status, refused) if limit > most else _json(200, completion(text))

    return Shape(respond, sent=2, extra={"max_tokens": 4096})


MODERATED = _error("Your input was flagged", code=403, metadata={"reasons": ["violence"], "flagged_input": "..."})
AZURE = _error("The response was filtered", code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"})
FASTAPI = {"detail": [{"type": "extra_forbidden", "loc": ["body", "top_p"], "msg": "Extra inputs are not permitted"}]}

SHAPES: dict[str, Shape] = {
    # Replies, whole
    "plain": _reply(completion),
    "a part": _reply(lambda text: completion([{"type": "text", "text": text}])),
    "several parts": _reply(
        lambda text: completion([{"type": "text", "text": text[:3]}, {"type": "output_text", "text": text[3:]}])
    ),
    "strings as parts": _reply(lambda text: completion([text[:3], text[3:]])),
    "a thinking part": _reply(
        lambda text: completion(
            [{"type": "thinking", "thinking": [{"type": "text", "text": DRAFT}]}, {"type": "text", "text": text}]
        )
    ),
    "reasoning_content": _reply(lambda text: completion(text, reasoning_content=DRAFT)),
    "reasoning": _reply(lambda text: completion(text, reasoning=DRAFT)),
    "think tags": _reply(lambda text: completion(f"<think>\n{DRAFT}\n</think>\n\n{text}")),
    "think tag opened by the template": _reply(lambda text: completion(f"{DRAFT}\n</think>\n\n{text}")),
    "empty think tags": _reply(lambda text: completion(f"<think>\n\n</think>\n\n{text}")),
    "no usage": _reply(lambda text: completion(text, usage=None), billed=0),
    "usage null": _reply(lambda text: completion(text, usage=None) | {"usage": None}, billed=0),
    "usage in words": _reply(lambda text: completion(text, usage={"prompt_tokens": "many"}), billed=0),
    "no finish reason": _reply(lambda text: completion(text, None)),
    "eos_token": _reply(lambda text: completion(text, "eos_token")),
    "end_turn": _reply(lambda text: completion(text, "end_turn")),
    "STOP": _reply(lambda text: completion(text, "STOP")),
    "half a surrogate pair elsewhere": _reply(lambda text: completion(text, reasoning="\ud83d") | {"model": "\ud83d"}),
    "no tools called": _reply(lambda text: completion(text, tool_calls=[], refusal=None, annotations=[])),
    "empty error": _reply(lambda text: completion(text) | {"error": None}),
    # Parameters that a server refuses, in its words
    "max_tokens by its new name": _refusing(
        "max_tokens",
        _error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        ),
        max_tokens=512,
    ),
    "temperature": _refusing(
        "temperature",
        _error(
            "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) is supported.",
            param="temperature",
            code="unsupported_value",
        ),
    ),
    "temperature, in words": _refusing("temperature", {"message": "temperature is not supported for this model"}),
    "top_p beside temperature": _refusing(
        "top_p", _error("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    ),
    "top_p, by FastAPI": _refusing("top_p", FASTAPI, status=422),
    "logprobs": _refusing(
        "logprobs", _error("You are not allowed to request logprobs from this model"), logprobs=True, top_logprobs=5
    ),
    "a penalty": _refusing(
        "presence_penalty", _error("Unsupported parameter: presence_penalty"), presence_penalty=1.5
    ),
    "seed": _refusing("seed", _error("Unrecognized request argument supplied: seed"), seed=3),
    "a refusal in a 200": _refusing("top_p", _error("'top_p' is not supported", code=400), status=200),
    # A prompt that leaves less room
    "overflow, OpenAI": _roomy(
        3996,
        "This model's maximum context length is 4096 tokens. However, you requested {sum} tokens (100 in the messages, "
        "{asked} in the completion). Please reduce the length of the messages or completion.",
    ),
    "overflow, vLLM": _roomy(
        3996,
        "'max_tokens' or 'max_completion_tokens' is too large: {asked}. This model's maximum context length is 4096 "
        "tokens and your request has 100 input tokens ({asked} > 4096 - 100).",
    ),
    "overflow, SGLang": _roomy(
        3996,
        "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of "
        "{sum} tokens: 100 tokens from the input messages and {asked} tokens for the completion.",
    ),
    "overflow, Anthropic": _roomy(
        3996, "input length and `max_tokens` exceed context limit: 100 + {asked} > 4096, decrease input length"
    ),
    "overflow, TGI": _roomy(
        3996,
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 100 `inputs` tokens and "
        "{asked} `max_new_tokens`",
        status=422,
    ),
    "overflow, OpenRouter": _roomy(
        3996,
        "This endpoint's maximum context length is 4096 tokens. However, you requested about {sum} tokens (100 of text "
        "input, {asked} in the output).",
    ),
    "longest answer": _roomy(
        1024,
        "max_tokens is too large: {asked}. This model supports at most 1024 completion tokens, whereas you provided "
        "{asked}.",
    ),
    # No answer, and billed
    "cut off before the answer": _billed(completion(None, "length"), "cut_off", "--max-tokens"),
    "cut off while thinking": _billed(
        completion("", "length", reasoning_content=DRAFT), "cut_off", "--reasoning-effort"
    ),
    "cut off inside think tags": _billed(completion(f"<think>\n{DRAFT}", "length"), "cut_off"),
    "thought and said nothing": _billed(completion(None, reasoning_content=DRAFT), "malformed", "no answer"),
    "refusal": _billed(completion(None, refusal="I cannot help with that."), "refusal", "I cannot help"),
    "refusal with half a surrogate pair": _billed(completion(None, refusal="No \ud83d."), "refusal", "No \ufffd."),
    "refusal as a part": _billed(completion([{"type": "refusal", "refusal": "I won't."}]), "refusal", "I won't."),
    "filtered": _billed(completion("Rating: [[1]] half a sen", "content_filter"), "content_filter"),
    "filtered, Gemini": _billed(completion("", "SAFETY"), "content_filter"),
    "broken off": _billed(completion("Rating: [[1]] half a sen", "error"), "server", "(error)"),
    "aborted": _billed(completion("Rating: [[1]] half a sen", "abort"), "server", "(abort)"),
    "tool called": _billed(completion(None, "tool_calls", tool_calls=[{"id": "1"}]), "malformed", "tool"),
    "ended for an unknown reason": _billed(completion("Rating: [[1]]", "pondering"), "malformed", "pondering"),
    "an image": _billed(completion([{"type": "image_url", "image_url": {}}]), "malformed", "image_url"),
    "content is an object": _billed(completion({"text": "Rating: [[1]]"}), "malformed"),
    "no choices, billed": _billed(completion("x") | {"choices": []}, "malformed", "no choices"),
    "error in the choice": _billed(
        completion("x") | {"choices": [{"error": {"code": 502, "message": "upstream died"}}]}, "server", "upstream died"
    ),
    # No answer, and not billed
    "no choices": _failing(200, {"id": "x", "choices": None}, "malformed", ATTEMPTS),
    "a list": _failing(200, [], "malformed", ATTEMPTS),
    "null": _failing(200, None, "malformed", ATTEMPTS),
    "a page of HTML": _failing(200, b"<html>gateway</html>", "malformed", ATTEMPTS),
    "no message": _failing(200, {"choices": [{"finish_reason": "stop"}]}, "malformed", ATTEMPTS),
    "a 502 in a 200": _failing(200, _error("provider is down", code=502), "server", ATTEMPTS, "provider is down"),
    "a 400 in a 200": _failing(200, _error("no such template", code=400), "bad_request", said="no such template"),
    "an error in words in a 200": _failing(200, {"error": "model not loaded"}, "server", ATTEMPTS, "model not loaded"),
    "an error of FastChat's in a 200": _failing(
        200, {"object": "error", "message": "worker lost", "code": 50001}, "server", ATTEMPTS, "worker lost"
    ),
    "moderated, OpenRouter": _failing(403, MODERATED, "content_filter", said="flagged"),
    "moderated, Azure": _failing(400, AZURE, "content_filter", said="filtered"),
    "moderated, OpenAI": _failing(
        400, _error("Invalid prompt: it was flagged as violating our usage policy", code="invalid_prompt"),
        "content_filter",
    ),
    "moderated, Alibaba": _failing(400, _error("Input data", code="data_inspection_failed"), "content_filter"),
    "moderated in other words": _failing(403, {"message": "This prompt is not safe"}, "bad_request", said="not safe"),
    "forbidden": _failing(403, _error("country not supported"), "authentication", said="country"),
    "wrong key": _failing(401, _error("incorrect API key"), "authentication", said="OPENAI_API_KEY"),
    "no money": _failing(402, _error("Insufficient credits"), "quota", said="credits"),
    "no quota": _failing(429, _error("exceeded your quota", code="insufficient_quota"), "quota"),
    "no credit, Anthropic": _failing(400, _error("Your credit balance is too low"), "quota"),
    "unknown model": _failing(404, _error("The model does not exist"), "not_found", said="--model"),
    "come back in hours": _failing(
        429, _error("daily limit"), "come_back", said="asks to wait 2 h", headers={"retry-after": "7200"}
    ),
    "come back at a time": _failing(
        429, _error("x"), "come_back", said="same command", headers={"retry-after": formatdate(time() + 18000)}
    ),
    "down for hours": _failing(503, _error("maintenance"), "come_back", headers={"retry-after": "3600"}),
    "busy": _failing(429, _error("slow down"), "rate_limit", ATTEMPTS, "slow down", {"retry-after-ms": "1"}),
    "too large": _failing(413, b"<html>Request Entity Too Large</html>", "bad_request", said="Entity Too Large"),
    "nobody serves it so": _failing(
        404, _error("No endpoints found that can handle the requested parameters"), "bad_request"
    ),
    "prompt alone too long": _failing(
        400,
        _error("This model's maximum context length is 4096 tokens. However, your messages resulted in 5000 tokens."),
        "bad_request",
        said="5000 tokens",
    ),
    "bad request in words": _failing(422, {"detail": "messages: too many"}, "bad_request", said="too many"),
    "broken": _failing(500, b"<html><body>Internal error</body></html>", "server", ATTEMPTS, "Internal error"),
    "overloaded": _failing(529, _error("Overloaded"), "server", ATTEMPTS, "Overloaded"),
    "response_format refused": _failing(
        400, _error("Invalid parameter: 'response_format' is not supported with this model."), "bad_request"
    ),
}  # fmt: skip
