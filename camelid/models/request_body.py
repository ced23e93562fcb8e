"""A request as the protocol's JSON, written so that the server at hand takes it."""

import logging
import re
from typing import Any

from camelid.models.llm import Request
from camelid.models.server_error import ServerError

logger = logging.getLogger(__name__)

TOKEN_LIMITS = ("max_tokens", "max_completion_tokens")  # the older name and the newer
REFUSED = frozenset({400, 413, 422})  # statuses under which servers refuse a body for what is in it
_NEEDED = frozenset(
    {"model", "messages", "prompt", "suffix", "response_format"}
)  # never left out: the answer would be another one
_REFUSING = re.compile(
    r"support|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|extra inputs|invalid|not available"
    r"|deprecated|incompatible|cannot|only the default|must be",
    re.IGNORECASE,
)
# What servers say of a prompt and a reserve that are too long together: OpenAI, vLLM, SGLang, TGI, OpenRouter,
# Anthropic ("199000 + 20000 > 200000").
_CONTEXT = re.compile(
    r"(?:context (?:length|window|limit|size)|model'?s? (?:maximum|max)[\w ]*length|must be <=)\D{0,40}?(\d+)",
    re.IGNORECASE,
)
_PROMPT = re.compile(
    r"(\d+) (?:in the (?:messages|prompt|input)|of (?:text )?input|(?:text )?input tokens|prompt tokens"
    r"|tokens (?:from|in|of) (?:the|your) (?:input|messages|prompt)|`inputs` tokens)",
    re.IGNORECASE,
)
_SUM = re.compile(r"(\d+) \+ \d+ > (\d+)")
_TOTAL = re.compile(r"(?:requested|total of)\D{0,30}?(\d+) tokens", re.IGNORECASE)
_MOST = re.compile(
    r"(?:at most|maximum (?:value )?(?:of|is|for max(?:_completion)?_tokens is)?|less than or equal to|<=)\s*(\d+)",
    re.IGNORECASE,
)


class BodyWriter:
    """Writes requests as the protocol's JSON, and learns from refusals what a server takes.

    Args:
        name: the model's name.
        at_openai: whether this is OpenAI itself.
        continuing: the last message is a text to be gone on with (`/v1/completions`), not a turn of a chat.
    """

    def __init__(self, name: str, at_openai: bool, continuing: bool = False) -> None:
        self._name, self._at_openai, self._continuing = name, at_openai, continuing
        self._token_limit: str | None = "max_completion_tokens" if at_openai and not continuing else "max_tokens"
        self._refused: set[str] = set()
        self._most_tokens: int | None = None
        self._said_room = False

    def body(self, request: Request, room: int | None = None) -> dict[str, Any]:
        """Write a request.

        Args:
            request: what to ask.
            room: the most tokens this prompt leaves for the answer, where that is known.
        """
        body: dict[str, Any] = {"model": self._name}
        if self._continuing:
            body["prompt"] = request.messages[-1].content
        else:
            body["messages"] = [{"role": m.role, "content": m.content} for m in request.messages]
        # OpenAI's own default is 1 for both, and its reasoning models take no other word on it; a local server's
        # default may be whatever the model's folder says.
        if request.temperature != 1 or not self._at_openai:
            body["temperature"] = request.temperature
        if request.top_p != 1 or not self._at_openai:
            body["top_p"] = request.top_p
        if request.max_tokens is not None and self._token_limit:
            limits = (request.max_tokens, room, self._most_tokens)
            body[self._token_limit] = min(limit for limit in limits if limit is not None)
        if request.stop:
            body["stop"] = list(request.stop)
        if request.seed is not None:
            body["seed"] = request.seed
        return {name: value for name, value in {**body, **request.extra}.items() if name not in self._refused}

    def learn(self, error: ServerError, sent: dict[str, Any]) -> None:
        """Take in why a body was refused: a parameter that the server does not take is renamed or left out from now on.

        What changes is said once.

        Args:
            error: the refusal.
            sent: the body.
        """
        limit = next((name for name in TOKEN_LIMITS if name in sent), None)
        most = _most_tokens(error.message) if limit and limit in f"{error.param} {error.message}" else None
        if limit and most is not None and 0 < most < sent[limit]:
            self._most_tokens = most
            logger.warning("camelid: %s: %s; so many are asked for", self._name, error.message)
            return
        name = _refused_name(error, sent)
        if name is None:
            return
        self._refused.add(name)
        remedy = "goes on without it"
        if name in TOKEN_LIMITS:
            other = TOKEN_LIMITS[1 - TOKEN_LIMITS.index(name)]
            self._token_limit = None if other in self._refused else other
            remedy = f"it is sent as {other}" if self._token_limit else remedy
        elif name == "logprobs":
            self._refused.add("top_logprobs")
        logger.warning("camelid: %s takes no %s (%s); %s", self._name, name, error.message, remedy)

    def room(self, error: ServerError, sent: dict[str, Any]) -> int | None:
        """Tokens that a prompt leaves for the answer, where the refusal says that more were asked for than that."""
        limit = next((name for name in TOKEN_LIMITS if name in sent), None)
        if limit is None:
            return None
        left = _room(error.message, sent[limit])
        if left is None or not 0 < left < sent[limit]:
            return None
        if not self._said_room:
            self._said_room = True
            logger.warning("camelid: %s (%s); fewer are asked for where a prompt is long", self._name, error.message)
        return left


def _refused_name(error: ServerError, sent: dict[str, Any]) -> str | None:
    """The parameter of a body that a server does not take; None if it finds fault with something else."""
    optional = [name for name in sent if name not in _NEEDED]
    if "response_format" in f"{error.param} {error.message}":
        return None
    if error.param.rpartition(".")[2] in optional:
        return error.param.rpartition(".")[2]
    quoted: list[str] = [name for name in re.findall(r"[`'\"](\w+)[`'\"]", error.message) if name in optional]
    if not quoted and _REFUSING.search(error.message):
        words = {word.lower() for word in re.findall(r"\w+", error.message)}
        quoted = [name for name in optional if name in words]
    if not quoted:
        return None
    return quoted[-1] if "both" in error.message else quoted[0]  # "`temperature` and `top_p` cannot both be specified"


def _room(message: str, asked: int) -> int | None:
    """What a context leaves for the answer, from a server's words; None if they don't say."""
    message = re.sub(r"(?<=\d),(?=\d{3})", "", message)
    if parts := _SUM.search(message):
        return int(parts[2]) - int(parts[1])
    context, prompt, total = _CONTEXT.search(message), _PROMPT.search(message), _TOTAL.search(message)
    if context and prompt:
        return int(context[1]) - int(prompt[1])
    if context and total and int(total[1]) > asked:
        return int(context[1]) - (int(total[1]) - asked)
    return None


def _most_tokens(message: str) -> int | None:
    """The longest answer a model writes, from a server's words; None if they don't say."""
    found = _MOST.search(re.sub(r"(?<=\d),(?=\d{3})", "", message))
    return int(found[1]) if found else None
