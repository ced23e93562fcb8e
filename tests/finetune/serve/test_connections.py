"""Connections that say nothing take nobody's place, and an answer cut off by the server's end says so."""

import contextlib
import json
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest

from finetune.serve import connections
from finetune.serve.connections import Connection
from finetune.serve.engine import ServerLimits
from finetune.serve.served import ServedModel
from tests.finetune.serve.serving import Running, serving

ENDLESS = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{"
HALF = b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-a: "
ASK: dict[str, Any] = {"model": "lively", "messages": [{"role": "user", "content": "red cat"}], "temperature": 2}


@contextlib.contextmanager
def silent(server: Running, count: int, said: bytes = HALF) -> Iterator[list[socket.socket]]:
    """Connections that have sent something and wait."""
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            one.sendall(said)
            opened.append(one)
        yield opened


def heard(one: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := one.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_silent_connections_make_place(served: ServedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "connection_limits", lambda: (20, 8))
    with serving([served], tmp_path) as server, silent(server, 60) as opened:
        began = time.monotonic()
        for _ in range(10):
            assert httpx.get(server.address + "/health").status_code == 200
        assert time.monotonic() - began < 3
        assert [heard(one) for one in opened[:30]] == [b""] * 30  # closed, the oldest first


def test_when_all_are_being_answered_a_new_one_is_told(
    served: ServedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "connection_limits", lambda: (2, 8))
    with serving([served], tmp_path, ServerLimits(batch=1)) as server:
        body = json.dumps({**ASK, "max_tokens": 240, "n": 16, "stream": True}).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        with silent(server, 2, head + b"content-length: %d\r\n\r\n" % len(body) + body) as busy:
            for one in busy:
                assert one.recv(100).startswith(b"HTTP/1.1 200")
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as late:
                reply = heard(late)
        assert reply.startswith(b"HTTP/1.1 503") and b"all 2 connections" in reply


@pytest.mark.parametrize("said", [HALF, b"", ENDLESS])
def test_a_head_has_its_time(served: ServedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    """The last one is refused for want of a JSON content type, and then goes on sending its body forever."""
    monkeypatch.setattr(Connection, "head_timeout", 0.3)
    with serving([served], tmp_path) as server, silent(server, 1, said) as [one]:
        began = time.monotonic()
        reply = heard(one)
        assert 0.1 < time.monotonic() - began < 3
        assert (
            reply == b"" if not said else (b'"error"' in reply and reply.startswith((b"HTTP/1.1 408", b"HTTP/1.1 415")))
        )


def test_what_is_no_http_is_told_so(running: Running) -> None:
    with silent(running, 1, b"GET / HTTP/9\r\n\r\n") as [one]:
        reply = heard(one)
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400") and json.loads(body)["error"]["message"]


def test_a_request_that_can_never_fit_is_told_the_most(served: ServedModel, tmp_path: Path) -> None:
    with serving([served], tmp_path, ServerLimits(batch=2, waiting=3)) as server:
        fits = httpx.post(server.url + "/chat/completions", json={**ASK, "max_tokens": 2, "n": 5})
        assert fits.status_code == 200 and len(fits.json()["choices"]) == 5
        never = httpx.post(server.url + "/chat/completions", json={**ASK, "max_tokens": 2, "n": 6})
        assert never.status_code == 400 and "5 of one request" in never.json()["error"]["message"]
        several = {"model": "lively", "prompt": ["red", "cat"], "n": 3, "max_tokens": 2}
        assert httpx.post(server.url + "/completions", json=several).status_code == 400


@pytest.mark.parametrize("stream", [True, False])
def test_a_server_that_stops_says_so(
    served: ServedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr(connections, "GRACE", 0.2)
    monkeypatch.setattr(served.model, "forward", slowed(served.model.forward))
    said: list[Any] = []
    with serving([served], tmp_path) as server:
        client = openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)

        def ask() -> None:
            try:
                reply: Any = client.chat.completions.create(**ASK, max_tokens=200, n=4, stream=stream)
                said.extend(reply if stream else [reply])
            except openai.APIError as error:
                said.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(0.5)
    thread.join()
    assert isinstance(said[-1], openai.APIError) and "stopped before" in said[-1].message
    assert not stream or len(said) > 1


def slowed(forward: Any) -> Any:
    def slow(*args: Any, **named: Any) -> Any:
        time.sleep(0.05)
        return forward(*args, **named)

    return slow


@pytest.mark.slow
def test_1500_half_sent_heads_and_200_descriptors(lively_model: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    serve = [sys.executable, "-m", "camelid.app.cli", "serve", f"lively={lively_model}", "--port", "0"]
    log = tmp_path / "log"
    with log.open("w") as said:
        limited = ["bash", "-c", 'ulimit -n 200 && exec "$@"', "bash", *serve, "--votes", str(tmp_path / "votes")]
        process = subprocess.Popen(limited, stdout=subprocess.PIPE, stderr=said, text=True)
    assert process.stdout is not None
    address = re.search(r"at (http://127\.0\.0\.1:\d+)/v1", process.stdout.readline())
    assert address is not None
    try:
        with silent(Running(address[1], tmp_path), 1500), httpx.Client(timeout=10) as client:
            waits = []
            for _ in range(20):
                began = time.monotonic()
                assert client.get(address[1] + "/health").status_code == 200
                waits.append(time.monotonic() - began)
            reply = client.post(address[1] + "/v1/chat/completions", json={**ASK, "max_tokens": 5})
            assert reply.status_code == 200 and sorted(waits)[10] < 0.3
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert log.read_text().count("\n") < 20, log.read_text()[:2000]
