"""A server that speaks the OpenAI protocol over loopback and misbehaves on request.

By hand: `python tests/fake_openai.py --port 8001 --fault 500=0.2` and then `--base-url http://127.0.0.1:8001/v1`.
One asyncio loop in a thread of its own: hundreds of connections at a second's latency cost it next to nothing.
"""

import argparse
import asyncio
import json
import math
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from email.parser import BytesParser
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

FAULTS = ("429", "429-after", "500", "slow", "reset", "garbage", "empty", "quota", "401", "404", "refusal", "expired")
NO_SCHEMA = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."


def echo(body: dict[str, Any]) -> str:
    return f"echo: {body['messages'][-1]['content']}"


def offline_answer(body: dict[str, Any]) -> str:
    """What the embedded model says to a request body."""
    from camelid.message import Message
    from camelid.models.llm import Reply, Request
    from camelid.models.offline.model import Offline

    messages = tuple(Message(m["role"], m["content"]) for m in body["messages"])
    extra = {"response_format": body["response_format"]} if "response_format" in body else {}
    reply = asyncio.run(Offline().complete(Request(messages, seed=body.get("seed"), extra=extra)))
    assert isinstance(reply, Reply)
    return reply.text


def body_key(body: dict[str, Any]) -> str:
    """Equal for equal request bodies."""
    return json.dumps(body, sort_keys=True)


class FakeOpenAI:
    """The server as a context manager.

    Args:
        answer: makes the assistant's text from a request body.
        faults: share of requests (0..1) that meet each fault of `FAULTS`. "expired" is met in batches only.
        latency: seconds before each reply, and before a batch is done.
        seed: of the choice of faults.
        port: 0 takes a free one.
        price: USD per million prompt and completion tokens; one word is one token. Batches cost half.
        most_at_once: a request beyond so many in flight gets a 429 at once.
        json_schema: whether `response_format` json_schema is understood; if not, it gets OpenAI's 400.
        lost_batches: so many batches are made while their creator's connection breaks.
        breaks_at_schema: `response_format` gets a 500.
        respond: makes the response to a request body; None for one that is answered as usual.

    Attributes:
        requests: every chat request body received, in order; those of batches too.
        heads: target and headers of everything received.
        answered: the bodies that got a good reply, in order.
        good_replies: how many good replies each `body_key` got.
        refuse_after: after so many requests the model refuses; None = never.
        bill: USD for the good replies.
        most_in_flight: chat requests.
        batches: the batch objects by id.
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], str] = echo,
        faults: dict[str, float] | None = None,
        latency: float = 0.0,
        seed: int = 0,
        port: int = 0,
        price: tuple[float, float] = (1.0, 2.0),
        most_at_once: int | None = None,
        json_schema: bool = False,
        lost_batches: int = 0,
        breaks_at_schema: bool = False,
        respond: Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes] | None] | None = None,
    ) -> None:
        unknown = set(faults or {}) - set(FAULTS)
        assert not unknown, unknown
        self.answer, self.faults, self.latency, self.price = answer, faults or {}, latency, price
        self.most_at_once, self.json_schema, self.lost_batches = most_at_once, json_schema, lost_batches
        self.requests: list[dict[str, Any]] = []
        self.heads: list[tuple[str, dict[str, str]]] = []
        self.answered: list[dict[str, Any]] = []
        self.good_replies: Counter[str] = Counter()
        self.breaks_at_schema, self.respond = breaks_at_schema, respond
        self.refuse_after: int | None = None
        self.bill = 0.0
        self.in_flight = self.most_in_flight = 0
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self._random = random.Random(seed)
        self._socket = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def __enter__(self) -> "FakeOpenAI":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    # HTTP

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connection, sock=self._socket)
        await self._stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.heads.append((target, headers))
                path = urlsplit(target).path.removeprefix("/v1").strip("/")
                if path.endswith("chat/completions"):
                    reply = await self._chat(json.loads(body))
                elif path == "completions":
                    reply = _as_text(await self._chat({**(asked := json.loads(body)), "messages": [_turn(asked)]}))
                else:
                    reply = await self._batch_api(method, path, headers, body)
                if reply is None:  # the connection breaks in the middle of an answer
                    writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"id": "cut of')
                    await writer.drain()
                    return
                status, more, payload = reply
                lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(payload)}"]
                lines += [f"{name}: {value}" for name, value in more.items()]
                writer.write("\r\n".join([*lines, "", ""]).encode() + payload)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    # Chat completions: None is a broken connection, else status, headers, body

    async def _chat(self, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        self.requests.append(body)
        if self.most_at_once is not None and self.in_flight >= self.most_at_once:
            return _error(429, "rate_limit_exceeded", "too many requests")
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.latency)
            fault = self._fault()
            if fault == "slow":
                await asyncio.sleep(2.0)
                return _error(500, "server_error", "too late")
            if fault == "reset":
                return None
            return await self._outcome(body, fault, 1.0)
        finally:
            self.in_flight -= 1

    def _fault(self) -> str | None:
        place = self._random.random()
        for fault, share in self.faults.items():
            if place < share:
                return fault
            place -= share
        return None

    async def _outcome(
        self, body: dict[str, Any], fault: str | None, share: float
    ) -> tuple[int, dict[str, str], bytes]:
        if self.respond and (scripted := self.respond(body)):
            return scripted
        if fault in ("429", "429-after"):
            wait = {"retry-after-ms": "20"} if fault == "429-after" else {}
            return _error(429, "rate_limit_exceeded", "slow down", wait)
        errors = {
            "quota": (429, "insufficient_quota", "you exceeded your current quota"),
            "401": (401, "invalid_api_key", "incorrect API key provided"),
            "404": (404, "model_not_found", f"The model `{body['model']}` does not exist"),
            "500": (500, "server_error", "something broke"),
        }
        if fault in errors:
            return _error(*errors[fault])
        if fault == "garbage":
            return 200, {}, b"<html>gateway</html>"
        if fault == "empty":
            return 200, {}, json.dumps({"id": "x", "model": body["model"], "choices": []}).encode()
        if self.breaks_at_schema and "response_format" in body:
            return _error(500, "server_error", "grammar compiler crashed")
        if body.get("response_format", {}).get("type") == "json_schema" and not self.json_schema:
            return _error(400, "invalid_request_error", NO_SCHEMA)
        text = await asyncio.to_thread(self.answer, body)
        refuse = fault == "refusal" or (self.refuse_after is not None and len(self.requests) > self.refuse_after)
        return 200, {}, json.dumps(self._completion(body, text, refuse, share)).encode()

    def _completion(self, body: dict[str, Any], text: str, refuse: bool, share: float) -> dict[str, Any]:
        asked = sum(len(message["content"].split()) for message in body["messages"])
        words, reason = text.split(), "stop"
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        if limit is not None and len(words) > limit:
            text, words, reason = " ".join(words[:limit]), words[:limit], "length"
        self.bill += share * (asked * self.price[0] + len(words) * self.price[1]) / 1e6
        self.good_replies[body_key(body)] += 1
        self.answered.append(body)
        message = {"role": "assistant", "content": text}
        if refuse:
            message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [_logprobs(word, body.get("top_logprobs", 0)) for word in words]}
        return {
            "id": "fake",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            "usage": {"prompt_tokens": asked, "completion_tokens": len(words), "total_tokens": asked + len(words)},
        }

    # Files and batches

    async def _batch_api(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes] | None:
        parts = path.split("/")
        if path == "models":
            return _json({"object": "list", "data": [{"id": "fake", "object": "model"}]})
        if (method, path) == ("POST", "files"):
            form = BytesParser().parsebytes(f"content-type: {headers['content-type']}\r\n\r\n".encode() + body)
            fields = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}
            name = f"file-{len(self.files)}"
            self.files[name] = fields["file"].get_payload(decode=True)
            return _json({"id": name, "object": "file", "purpose": "batch", "bytes": len(self.files[name])})
        if (method, path) == ("POST", "batches"):
            made = self._new_batch(json.loads(body))
            if self.lost_batches:
                self.lost_batches -= 1
                return None
            return _json(made)
        if path == "batches":
            return _json({"object": "list", "data": list(self.batches.values())[::-1], "has_more": False})
        if parts[0] == "batches" and parts[1] in self.batches:
            batch = self.batches[parts[1]]
            if batch["status"] == "in_progress" and time.monotonic() >= batch["done_at"]:
                await self._finish(batch)
            return _json(batch)
        if parts[0] == "files" and parts[-1] == "content" and parts[1] in self.files:
            return 200, {}, self.files[parts[1]]
        return _error(404, "not_found", f"no {path}")

    def _new_batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = f"batch_{len(self.batches)}"
        count = self.files[asked["input_file_id"]].count(b"\n")
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "status": "in_progress",
            "created_at": int(time.time()),
            "done_at": time.monotonic() + self.latency,
            "request_counts": {"total": count, "completed": 0, "failed": 0},
            "metadata": {},
            **asked,
        }
        return self.batches[name]

    async def _finish(self, batch: dict[str, Any]) -> None:
        """Answer every line of a batch."""
        batch["status"] = "finalizing"
        good, bad = [], []
        for line in self.files[batch["input_file_id"]].splitlines():
            asked = json.loads(line)
            self.requests.append(asked["body"])
            fault, result = self._fault(), {"custom_id": asked["custom_id"], "response": None, "error": None}
            if fault == "expired":
                result["error"] = {"code": "batch_expired", "message": "not executed before the window expired"}
            else:
                status, _, payload = await self._outcome(asked["body"], fault, 0.5)
                reply = {} if fault == "garbage" else json.loads(payload)
                result["response"] = {"status_code": status, "request_id": "x", "body": reply}
            (good if result["response"] and status == 200 else bad).append(result)
        for kind, results in (("output_file_id", good), ("error_file_id", bad)):
            if results:
                batch[kind] = f"file-{len(self.files)}"
                self.files[batch[kind]] = "".join(json.dumps(result) + "\n" for result in results).encode()
        batch["request_counts"].update(completed=len(good), failed=len(bad))
        batch["status"] = "expired" if any(result["error"] for result in bad) else "completed"


def _json(value: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, json.dumps(value).encode()


def _turn(body: dict[str, Any]) -> dict[str, str]:
    """A text completion's prompt as a message, so that it is answered, counted and kept as any."""
    return {"role": "user", "content": body["prompt"]}


def _as_text(reply: tuple[int, dict[str, str], bytes] | None) -> tuple[int, dict[str, str], bytes] | None:
    """The answer of a chat in the shape of a text completion."""
    if reply is None or reply[0] != 200:
        return reply
    value = json.loads(reply[2])
    for choice in value.get("choices", []):
        choice["text"] = choice.pop("message")["content"]
    return *reply[:2], json.dumps(value).encode()


def _error(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    body = {"error": {"message": message, "type": code, "param": None, "code": code}}
    return status, headers or {}, json.dumps(body).encode()


def _logprobs(word: str, alternatives: int) -> dict[str, Any]:
    """The word said with probability 0.9; made-up alternatives share the rest."""
    top = [{"token": word, "logprob": math.log(0.9)}] if alternatives else []
    top += [{"token": f"other{n}", "logprob": math.log(0.1 / (n + 1))} for n in range(1, alternatives)]
    return {"token": word, "logprob": math.log(0.9), "top_logprobs": top}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each reply")
    parser.add_argument("--fault", action="append", default=[], help=f"NAME=SHARE; names: {', '.join(FAULTS)}")
    args = parser.parse_args()
    faults = {name: float(share) for name, share in (item.split("=") for item in args.fault)}
    with FakeOpenAI(offline_answer, faults, args.latency, port=args.port) as server:
        print(f"serving at {server.url}; stop with Ctrl-C", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
