"""Replies of `/v1/responses`: a list of items, a text and calls of tools; streamed, an event for each step of one."""

import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

from camelid.message import ToolCall
from finetune.generate.chunk import Chunk
from finetune.generate.text_stream import TrimmedText
from finetune.serve.call_form import CallReader
from finetune.serve.chat_request import RunningChat
from finetune.serve.engine import ServingEngine
from finetune.serve.errors import ApiError
from finetune.serve.json_reply import json_blocks
from finetune.serve.responses_body import ResponsesBody


class ResponsesWriter:
    """Writes one reply, whole or as a stream of events.

    Args:
        engine: who answers.
        chat: the one answer.
        body: the request, which the reply repeats in part.
    """

    def __init__(self, engine: ServingEngine, chat: RunningChat, body: ResponsesBody) -> None:
        self._engine, self._run, self._body = engine, chat.run, body
        self._id, self._created = f"resp_{uuid.uuid4().hex}", int(time.time())
        self._trimmed = TrimmedText(chat.begun)
        self._reader = None if chat.form is None else CallReader(chat.form)
        self._output: list[dict[str, Any]] = []  # finished items
        self._open: dict[str, Any] | None = None  # the text that is being written
        self._number = 0  # of the next event

    async def whole(self) -> list[bytes]:
        """The reply as one JSON object, in blocks."""
        [chunk] = await self._run.whole()
        for _ in self._take(chunk):
            pass
        return list(json_blocks(self._response(chunk.end)))

    async def events(self) -> AsyncIterator[bytes]:
        """Server-sent events; an error in the middle becomes the last one."""
        try:
            for kind in ("response.created", "response.in_progress"):
                yield self._event(kind, response=self._response(None))
            async for new in self._run.chunks():
                for _, chunk in new:
                    for event in self._take(chunk):
                        yield event
                    if chunk.end:
                        response = self._response(chunk.end)
                        yield self._event(f"response.{response['status']}", response=response)
        except ApiError as error:
            told = error.to_json()["error"]
            yield self._event("error", code=told["code"], message=told["message"], param=told["param"])
        finally:
            await self._run.close()

    def _take(self, chunk: Chunk) -> Iterator[bytes]:
        """Add to the items what a chunk brings; the events that say so."""
        text, calls = (chunk.text, list[ToolCall]()) if self._reader is None else self._reader.add(chunk.text)
        if self._reader is not None and chunk.end:
            text += self._reader.finish()
        text = self._trimmed.add(text)
        if text:
            yield from self._say(text)
        if self._open is not None and (calls or chunk.end):
            yield from self._close()
        for call in calls:
            yield from self._call(call)
        if chunk.end and not self._output:  # who reads the text finds an empty one
            yield from self._say("")
            yield from self._close()

    def _say(self, text: str) -> Iterator[bytes]:
        if self._open is None:
            self._open = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant"}
            self._open |= {"status": "in_progress", "content": []}
            yield self._event("response.output_item.added", output_index=len(self._output), item=self._open)
            self._open["content"] = [{"type": "output_text", "text": "", "annotations": [], "logprobs": []}]
            yield self._event("response.content_part.added", **self._place(), part=self._open["content"][0])
        self._open["content"][0]["text"] += text
        if text:
            yield self._event("response.output_text.delta", **self._place(), delta=text, logprobs=[])

    def _close(self) -> Iterator[bytes]:
        assert self._open is not None
        item, place = self._open, self._place()
        item["status"] = "completed"
        part = item["content"][0]
        yield self._event("response.output_text.done", **place, text=part["text"], logprobs=[])
        yield self._event("response.content_part.done", **place, part=part)
        yield self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        self._open = None

    def _call(self, call: ToolCall) -> Iterator[bytes]:
        item = {"id": f"fc_{uuid.uuid4().hex}", "type": "function_call", "call_id": call.id, "name": call.name}
        index, name = len(self._output), {"item_id": item["id"], "output_index": len(self._output)}
        begun = {**item, "arguments": "", "status": "in_progress"}
        yield self._event("response.output_item.added", output_index=index, item=begun)
        yield self._event("response.function_call_arguments.delta", **name, delta=call.arguments)
        yield self._event("response.function_call_arguments.done", **name, name=call.name, arguments=call.arguments)
        done = {**item, "arguments": call.arguments, "status": "completed"}
        yield self._event("response.output_item.done", output_index=index, item=done)
        self._output.append(done)

    def _place(self) -> dict[str, Any]:
        assert self._open is not None
        return {"item_id": self._open["id"], "output_index": len(self._output), "content_index": 0}

    def _event(self, kind: str, **fields: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"".join([f"event: {kind}\ndata: ".encode(), *json_blocks(event), b"\n\n"])

    def _response(self, end: str | None) -> dict[str, Any]:
        body, cut = self._body, end == "length"
        status = "in_progress" if end is None else "incomplete" if cut else "completed"
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "model": self._engine.served.name,
            "output": list(self._output),
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": None,
            "store": False,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "text": (body.text and body.text.model_dump(by_alias=True, exclude_none=True))
            or {"format": {"type": "text"}},
            "tool_choice": "auto" if body.tool_choice is None else body.model_dump()["tool_choice"],
            "tools": [tool.model_dump() for tool in body.tools or ()],
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "truncation": "disabled",
            "usage": None if end is None else self._usage(),
            "metadata": body.metadata or {},
        }

    def _usage(self) -> dict[str, Any]:
        prompt, completion = self._run.prompt_tokens, self._run.completion_tokens
        return {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": self._run.known_tokens},
            "output_tokens": completion,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + completion,
        }
