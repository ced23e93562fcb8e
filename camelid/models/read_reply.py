"""What a chat completion says: a finished answer apart from its thinking, or a typed failure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from camelid.files.encodable import mend_json, mend_text
from camelid.models.llm import Failure, Reply, Usage
from camelid.models.server_error import AttemptResult, error_in
from camelid.text.thinking import split_thinking

# How providers say that an answer ended by itself, and that it was cut at the token limit. OpenAI; then Hugging Face
# TGI, Anthropic's and Cohere's words as proxies hand them on, Mistral, Gemini.
WHOLE = frozenset({"stop", "eos", "eos_token", "stop_sequence", "end_turn", "complete"})
CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
# OpenAI and Azure; Gemini; Zhipu; Anthropic.
WITHHELD = frozenset(
    {"content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii", "sensitive", "guardrail"}
)
DECLINED = frozenset({"refusal"})
# OpenRouter; vLLM and SGLang, where a request is given up; Zhipu; DeepSeek.
BROKEN = frozenset({"error", "abort", "cancelled", "network_error", "insufficient_system_resource"})
LEAST = -9999.0  # OpenAI's log-probability of what is all but impossible; others write -Infinity, which is no JSON
TOOL = frozenset({"tool_calls", "function_call", "tool_use"})


def read_completion(answer: Any) -> AttemptResult:
    """Check that an answer holds what the protocol promises, and read it."""
    usage = Usage()
    answer, mended = mend_json(answer)  # all of it: whatever is kept of it must be fit for a file
    try:
        if error := error_in(answer):
            return error.failure()
        usage = _usage(answer.get("usage"))
        if not answer.get("choices"):
            return Failure("malformed", "the reply has no choices", usage=usage), 0.0
        choice = answer["choices"][0]
        if error := error_in(choice):  # OpenRouter
            failure, wait = error.failure()
            return replace(failure, usage=usage), wait
        message = choice["message"]
        text, parts_reasoning, refusal = _read_content(message.get("content"))
        said = message.get("reasoning_content") or message.get("reasoning") or parts_reasoning
        reasoning = said if isinstance(said, str) else ""
        finish = str(choice.get("finish_reason") or "stop").lower()
        if problem := _ending_problem(finish, text, message.get("refusal") or refusal):
            return replace(problem[0], usage=usage), problem[1]
        tokens = (choice.get("logprobs") or {}).get("content") or ()
        ended = "length" if finish in CUT else "stop"
        reply = Reply(text or "", str(answer.get("model")), ended, usage, reasoning=reasoning, mended=mended)
        result = finish_reply(reply)
        if isinstance(result, Failure):
            return result, None if result.kind == "cut_off" else 0.0
        if text is None:
            return Failure("malformed", "the reply has no text", usage=usage), 0.0
        return replace(result, top_logprobs=_logprobs(tokens, result.text if result.reasoning else None))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        return Failure("malformed", f"not an OpenAI reply: {type(error).__name__}: {error}", usage=usage), 0.0


def as_chat(answer: Any) -> Any:
    """A text completion in the shape of a chat's; what is none stays as it is."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        return answer
    said = [{**choice, "message": {"content": choice.get("text")}, "logprobs": None} for choice in choices]
    return {**answer, "choices": said}


def finish_reply(reply: Reply) -> Reply | Failure:
    """A model's text as a reply: its thinking split off, its characters mended; a failure if no answer is left of it.

    `ModelRun` does this to every reply, whoever made it; done twice, it changes nothing. Log-probabilities are dropped
    with the thinking in a text, for they are no longer those of the answer.
    """
    thought, text = split_thinking(reply.text)
    text, mended = mend_text(text)
    reasoning, _ = mend_text("\n\n".join(filter(None, (reply.reasoning, thought))))
    if not text.strip():
        if reply.finish_reason == "length":
            detail = "the tokens were used up before the answer began; raise --max-tokens"
            return Failure("cut_off", detail + (" or lower --reasoning-effort" if reasoning else ""), usage=reply.usage)
        if reasoning:
            return Failure("malformed", "the model thought and gave no answer", usage=reply.usage)
    logprobs = () if text != reply.text else reply.top_logprobs
    return replace(reply, text=text, reasoning=reasoning, mended=reply.mended + mended, top_logprobs=logprobs)


def _usage(used: Any) -> Usage:
    """Tokens billed; zeros where the server does not say, or says what is no number."""
    counts = [used.get(name) if isinstance(used, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    prompt, completion = (
        int(count) if isinstance(count, (int, float)) and 0 < count < 10**12 else 0 for count in counts
    )
    return Usage(prompt, completion)


def _read_content(content: Any) -> tuple[str | None, str, str]:
    """A message's text, thinking and refusal: a string, or a list of typed parts (Mistral, vLLM, OpenAI's Responses).

    Raises:
        ValueError: a part is neither text nor thinking.
    """
    if content is None or isinstance(content, str):
        return content, "", ""
    if not isinstance(content, list):
        raise ValueError(f"content must be text or a list of parts, found {type(content).__name__}")
    found: dict[str, list[str]] = {"text": [], "thinking": [], "refusal": []}
    for part in content:
        kind = "text" if isinstance(part, str) else str(part["type"])
        if kind in ("text", "output_text"):
            found["text"].append(part if isinstance(part, str) else part["text"])
        elif kind in ("thinking", "reasoning", "redacted_thinking"):
            inner = part.get("thinking") or part.get("reasoning") or part.get("text") or ""
            found["thinking"].append(inner if isinstance(inner, str) else _read_content(inner)[0] or "")
        elif kind == "refusal":
            found["refusal"].append(part["refusal"])
        else:
            raise ValueError(f"the reply has a part of type {kind!r}")
    text, thinking, refusal = ("".join(found[name]) for name in ("text", "thinking", "refusal"))
    return text if found["text"] else None, thinking, refusal


def _ending_problem(finish: str, text: str | None, refusal: Any) -> tuple[Failure, float | None] | None:
    """Why what is there is no whole answer (nor one cut at its limit), by how it ended; None if nothing is wrong."""
    if finish in WITHHELD:
        return Failure("content_filter", f"the provider withheld the answer ({finish})"), None
    if finish in DECLINED or (refusal and not text):
        return Failure("refusal", str(refusal or "the model declined")), None
    if finish in BROKEN:
        return Failure("server", f"the provider broke the answer off ({finish})"), 0.0
    if finish in TOOL:
        return Failure("malformed", f"the model called a tool in place of an answer ({finish})"), 0.0
    if finish not in WHOLE | CUT:
        return Failure("malformed", f"the answer ended for a reason that is not known ({finish})"), 0.0
    return None


def _logprobs(tokens: Sequence[dict[str, Any]], answer: str | None) -> tuple[dict[str, float], ...]:
    """Log-probabilities of each token and its rivals; where there was thinking, of the tokens that make up `answer`."""
    if answer is not None:  # from the end: some servers list the tokens of the thinking, too, and some do not
        place, text = len(tokens), ""
        while place and text.strip() != answer.strip():
            place -= 1
            text = tokens[place]["token"] + text
        tokens = tokens[place:] if text.strip() == answer.strip() else ()
    listed = (
        {**{rival["token"]: rival["logprob"] for rival in token.get("top_logprobs") or ()}, token["token"]: logprob}
        for token in tokens
        if (logprob := token["logprob"]) is not None
    )
    return tuple({text: max(value, LEAST) for text, value in step.items() if value == value} for step in listed)
