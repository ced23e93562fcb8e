"""A server that speaks the OpenAI protocol over loopback and misbehaves on request.

By hand: `python tests/fake_openai.py --port 8001 --fault 500=0.2` and then `--base-url http://127.0.0.1:8001/v1`.
"""

import argparse
import asyncio
import json
import random
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

FAULTS = ("429", "429-after", "500", "slow", "reset", "garbage", "empty", "quota", "401")


def offline_answer(body: dict[str, Any]) -> str:
    """What the embedded model says to a request body."""
    from camelid.llm import Reply, Request
    from camelid.offline.model import Offline
    from conversations.message import Message

    messages = tuple(Message(m["role"], m["content"]) for m in body["messages"])
    reply = asyncio.run(Offline().complete(Request(messages, seed=body.get("seed"))))
    assert isinstance(reply, Reply)
    return reply.text


class FakeOpenAI:
    """The server as a context manager.

    Args:
        answer: makes the assistant's text from a request body.
        faults: share of requests (0..1) that meet each fault of `FAULTS`.
        latency: seconds before each reply.
        seed: of the choice of faults.
        port: 0 takes a free one.

    Attributes:
        requests: every body received, in order.
        answered: the bodies that got a good reply.
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], str] = lambda body: f"echo: {body['messages'][-1]['content']}",
        faults: dict[str, float] | None = None,
        latency: float = 0.0,
        seed: int = 0,
        port: int = 0,
    ) -> None:
        unknown = set(faults or {}) - set(FAULTS)
        assert not unknown, unknown
        self.answer, self.faults, self.latency = answer, faults or {}, latency
        self.requests: list[dict[str, Any]] = []
        self.answered: list[dict[str, Any]] = []
        self.in_flight = self.most_in_flight = 0
        self._random, self._lock = random.Random(seed), threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> "FakeOpenAI":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _fault(self) -> str | None:
        with self._lock:
            place = self._random.random()
        for fault, share in self.faults.items():
            if place < share:
                return fault
            place -= share
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                self._send(200, {"object": "list", "data": [{"id": "fake", "object": "model"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with fake._lock:
                    fake.requests.append(body)
                    fake.in_flight += 1
                    fake.most_in_flight = max(fake.most_in_flight, fake.in_flight)
                try:
                    time.sleep(fake.latency)
                    self._reply(body, fake._fault())
                except (BrokenPipeError, ConnectionResetError):
                    pass
                finally:
                    with fake._lock:
                        fake.in_flight -= 1

            def _reply(self, body: dict[str, Any], fault: str | None) -> None:
                if fault in ("429", "429-after"):
                    wait = {"retry-after-ms": "20"} if fault == "429-after" else {}
                    self._error(429, "rate_limit_exceeded", "slow down", wait)
                elif fault == "quota":
                    self._error(429, "insufficient_quota", "you exceeded your current quota", {})
                elif fault == "401":
                    self._error(401, "invalid_api_key", "incorrect API key provided", {})
                elif fault == "500":
                    self._error(500, "server_error", "something broke", {})
                elif fault == "slow":
                    time.sleep(2.0)
                    self._error(500, "server_error", "too late", {})
                elif fault == "reset":
                    self.send_response(200)
                    self.send_header("content-length", "1000")
                    self.end_headers()
                    self.wfile.write(b'{"id": "cut of')
                    self.wfile.flush()
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                elif fault == "garbage":
                    self._send_raw(200, b"<html>gateway</html>", {})
                elif fault == "empty":
                    self._send(200, {"id": "x", "object": "chat.completion", "model": body["model"], "choices": []})
                else:
                    self._answer(body)

            def _answer(self, body: dict[str, Any]) -> None:
                text = fake.answer(body)
                asked = sum(len(message["content"].split()) for message in body["messages"])
                said = len(text.split())
                message = {"role": "assistant", "content": text}
                with fake._lock:
                    fake.answered.append(body)
                self._send(
                    200,
                    {
                        "id": "fake",
                        "object": "chat.completion",
                        "created": 0,
                        "model": body["model"],
                        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                        "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
                    },
                )

            def _error(self, status: int, code: str, message: str, headers: dict[str, str]) -> None:
                body = {"error": {"message": message, "type": code, "code": code}}
                self._send_raw(status, json.dumps(body).encode(), headers)

            def _send(self, status: int, body: dict[str, Any]) -> None:
                self._send_raw(status, json.dumps(body).encode(), {})

            def _send_raw(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler


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
