"""A server of OpenAI's protocol that says what a test tells it to, at the pace it is told, for tests of the page."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from camelid.app.rate_votes import rate_votes
from finetune.serve.access import Access
from finetune.serve.page_for import make_page_app

Piece = str | float | threading.Event
"""Text to say, seconds to wait, or what to wait for."""


class Talker:
    """The server's application and what it was asked.

    Attributes:
        app: the application.
        say: makes the pieces of an answer from a request.
        finish: the reason why answers end.
        asked: the bodies of all requests for an answer.
        key: what clients must send; None lets everybody in.
    """

    def __init__(self, models: Sequence[str] = ("tuned", "base")) -> None:
        self.app = FastAPI()
        self.say: Callable[[dict[str, Any]], Sequence[Piece]] = lambda body: [f"You said: {said(body)}"]
        self.finish = "stop"
        self.asked: list[dict[str, Any]] = []
        self.key: str | None = None

        @self.app.get("/v1/models")
        async def list_models(request: Request) -> Response:
            return self._refuse(request) or JSONResponse({"object": "list", "data": [_model(name) for name in models]})

        @self.app.post("/v1/chat/completions")
        async def chat(request: Request) -> Response:
            refusal = self._refuse(request)
            if refusal:
                return refusal
            body = await request.json()
            self.asked.append(body)
            return StreamingResponse(self._events(body), media_type="text/event-stream")

    def _refuse(self, request: Request) -> Response | None:
        if self.key is None or request.headers.get("authorization") == f"Bearer {self.key}":
            return None
        return JSONResponse({"error": {"message": "wrong key", "type": "invalid_request_error"}}, 401)

    async def _events(self, body: dict[str, Any]) -> AsyncIterator[str]:
        for piece in self.say(body):
            if isinstance(piece, str):
                yield _event(body, piece, None)
            elif isinstance(piece, float):
                await asyncio.sleep(piece)
            else:
                while not piece.is_set():
                    await asyncio.sleep(0.01)
        yield _event(body, "", self.finish)
        yield "data: [DONE]\n\n"


@contextlib.contextmanager
def page_for(talker: Talker, votes: Path, access: Access | None = None) -> Iterator[str]:
    """The address of a chat page for it."""
    with _running(talker.app) as behind:
        app = make_page_app(f"{behind}/v1", access or Access(), votes, rate_votes)
        with _running(app) as address:
            yield address


@contextlib.contextmanager
def _running(app: FastAPI) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


def said(body: dict[str, Any]) -> str:
    """The last message of a request."""
    return str(body["messages"][-1]["content"])


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "test"}


def _event(body: dict[str, Any], text: str, finish: str | None) -> str:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": body["model"], "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n"
