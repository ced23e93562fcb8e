"""Replies in the form of OpenAI's protocol."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, Literal, TypeVar

from finetune.generate.chunk import ChosenToken, Chunk
from finetune.generate.text_stream import TrimmedText
from finetune.serve.call_form import CallForm, CallReader
from finetune.serve.engine import RunningRequest, ServingEngine
from finetune.serve.errors import ApiError
from finetune.serve.json_reply import json_blocks

MOST_AT_ONCE = 500  # log-probabilities that are written in the event loop, about a millisecond
WorkT = TypeVar("WorkT")
EndpointKind = Literal["chat", "completion"]
OBJECTS: dict[tuple[EndpointKind, bool], str] = {
    ("chat", False): "chat.completion",
    ("chat", True): "chat.completion.chunk",
    ("completion", False): "text_completion",
    ("completion", True): "text_completion",
}


class ReplyWriter:
    """Writes the reply to one request, whole or as a stream of events.

    Args:
        kind: of the request.
        engine: who answers.
        run: the answers.
        veil: what stands for the model where the reply must not tell which one it is.
        begun: whether the answers go on with a text, so that a blank before the first word counts.
        echoed: the prompts, if answers begin with them.
        form: how answers call tools, if they may.
    """

    def __init__(
        self,
        kind: EndpointKind,
        engine: ServingEngine,
        run: RunningRequest,
        veil: str | None = None,
        begun: bool = False,
        echoed: Sequence[str | list[int]] = (),
        form: CallForm | None = None,
    ) -> None:
        self._kind, self._engine, self._run, self._veil = kind, engine, run, veil
        self._top_logprobs = run.jobs[0].sampling.top_logprobs
        self._id = f"{'chatcmpl' if kind == 'chat' else 'cmpl'}-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._trimmed = [TrimmedText(begun) for _ in run.jobs]
        self._offsets = [0] * len(run.jobs)  # where the next token's text begins
        self._readers = [None if form is None else CallReader(form) for _ in run.jobs]
        decode = engine.served.tokenizer.decode
        texts = [prompt if isinstance(prompt, str) else str(decode(prompt)) for prompt in echoed]
        answers = len(run.jobs) // max(1, len(texts))
        self._echoed = {index: texts[index // answers] for index in range(len(run.jobs)) if texts}  # not yet told

    async def whole(self) -> list[bytes]:
        """One JSON object with all answers, in blocks."""
        chunks = await self._run.whole()
        return await self._apart(chunks, lambda: json_blocks(self._reply(chunks)))

    def _reply(self, chunks: Sequence[Chunk]) -> dict[str, Any]:
        choices = []
        for index, chunk in enumerate(chunks):
            choice = {"index": index, **self._text(index, chunk, "message")}
            choice["finish_reason"] = self._why(index, chunk)
            if self._kind == "chat":
                message = choice["message"]
                if message.get("tool_calls") and not message["content"]:
                    message = {**message, "content": None}
                choice["message"] = {"role": "assistant", **message, "refusal": None}
            choices.append({"logprobs": None, **choice})
        return {**self._head(streamed=False), "choices": choices, "usage": self._usage()}

    async def events(self, usage: bool) -> AsyncIterator[bytes]:
        """Server-sent events; an error in the middle becomes the last one.

        Args:
            usage: whether token counts come in a last chunk.
        """
        try:
            if self._kind == "chat":
                first = {"delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
                yield _event(self._chunk([{"index": index, **first} for index in range(len(self._run.jobs))], usage))
            async for new in self._run.chunks():
                event = await self._apart([chunk for _, chunk in new], partial(self._news, new, usage))
                if event:
                    yield event
            if usage:
                yield _event({**self._head(streamed=True), "choices": [], "usage": self._usage()})
            yield b"data: [DONE]\n\n"
        except ApiError as error:
            yield _event(error.to_json())
        finally:
            await self._run.close()

    def _news(self, new: Sequence[tuple[int, Chunk]], usage: bool) -> bytes:
        """What was written, as an event; nothing if there is nothing to show yet."""
        choices = []
        for index, chunk in new:
            choice = {"index": index, "logprobs": None, **self._text(index, chunk, "delta")}
            told = self._top_logprobs is not None and (chunk.tokens or chunk.prompt)
            if chunk.end or told or choice.get("text") or any(choice.get("delta", {}).values()):
                choices.append({**choice, "finish_reason": self._why(index, chunk)})
        return _event(self._chunk(choices, usage)) if choices else b""

    async def _apart(self, chunks: Sequence[Chunk], work: Callable[[], WorkT]) -> WorkT:
        """The result of work on chunks; in a thread of its own if it would keep the event loop from others."""
        described = sum(len(chunk.prompt) + len(chunk.tokens) for chunk in chunks) * (1 + (self._top_logprobs or 0))
        if self._top_logprobs is None or described <= MOST_AT_ONCE:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._engine.writing, work)

    def _head(self, streamed: bool) -> dict[str, Any]:
        served = self._engine.served
        return {
            "id": self._id,
            "object": OBJECTS[self._kind, streamed],
            "created": self._created,
            "model": self._veil or served.name,
            "system_fingerprint": None if self._veil else served.fingerprint,
        }

    def _chunk(self, choices: list[dict[str, Any]], usage: bool) -> dict[str, Any]:
        chunk = {**self._head(streamed=True), "choices": choices}
        return {**chunk, "usage": None} if usage else chunk

    def _usage(self) -> dict[str, Any]:
        prompt, completion = self._run.prompt_tokens, self._run.completion_tokens
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return {**usage, "prompt_tokens_details": {"cached_tokens": self._run.known_tokens}}

    def _text(self, index: int, chunk: Chunk, place: str) -> dict[str, Any]:
        if self._kind == "completion":
            part: dict[str, Any] = {"text": self._echoed.pop(index, "") + chunk.text}
            if self._top_logprobs is not None:
                end = () if chunk.end_token is None else (chunk.end_token,)
                part["logprobs"] = self._completion_logprobs(index, (*chunk.prompt, *chunk.tokens, *end))
            return part
        part = {place: self._said(index, chunk, place)}
        if self._top_logprobs is not None:
            part["logprobs"] = {"content": map(self._chat_logprobs, chunk.tokens), "refusal": None}
        return part

    def _said(self, index: int, chunk: Chunk, place: str) -> dict[str, Any]:
        """Text and calls of an answer."""
        reader = self._readers[index]
        if reader is None:
            return {"content": self._trimmed[index].add(chunk.text)}
        first = reader.called
        text, calls = reader.add(chunk.text)
        if chunk.end:
            text += reader.finish()
        said: dict[str, Any] = {"content": self._trimmed[index].add(text)}
        if calls:
            numbers = [{"index": number} if place == "delta" else {} for number in range(first, reader.called)]
            said["tool_calls"] = [number | call.to_json() for number, call in zip(numbers, calls, strict=True)]
        return said

    def _why(self, index: int, chunk: Chunk) -> str | None:
        """Why the answer ends, if it does."""
        reader = self._readers[index]
        return "tool_calls" if chunk.end == "stop" and reader is not None and reader.called else chunk.end

    def _chat_logprobs(self, token: ChosenToken) -> dict[str, Any]:
        assert token.logprobs is not None
        rivals = list(token.logprobs.items())[: self._top_logprobs]
        return {
            **self._described(token.id, token.logprobs[token.id]),
            "top_logprobs": [self._described(rival, logprob) for rival, logprob in rivals],
        }

    def _described(self, token: int, logprob: float) -> dict[str, Any]:
        text, known = self._engine.token_texts.described(token)
        return {"token": text, "logprob": logprob, "bytes": known}

    def _completion_logprobs(self, index: int, tokens: tuple[ChosenToken, ...]) -> dict[str, Any]:
        texts = [self._engine.token_texts.text(token.id) for token in tokens]
        offsets = []
        for text in texts:
            offsets.append(self._offsets[index])
            self._offsets[index] += len(text)
        known = [token.logprobs for token in tokens]
        return {
            "tokens": texts,
            "token_logprobs": [own and own[token.id] for token, own in zip(tokens, known, strict=True)],
            "top_logprobs": (own and self._rivals(own) for own in known),
            "text_offset": offsets,
        }

    def _rivals(self, logprobs: dict[int, float]) -> dict[str, float]:
        """The likeliest tokens by their text; of two with one text, as halves of characters have it, the likelier."""
        rivals: dict[str, float] = {}
        for token, logprob in islice(logprobs.items(), self._top_logprobs):
            rivals.setdefault(self._engine.token_texts.text(token), logprob)
        return rivals


def _event(value: dict[str, Any]) -> bytes:
    return b"".join([b"data: ", *json_blocks(value), b"\n\n"])
