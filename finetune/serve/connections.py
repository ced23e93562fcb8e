"""Connections of the server: how many, how long they may keep it waiting, what they hear when it stops."""

import asyncio
import logging
import resource
import time
from pathlib import Path
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from finetune.serve.errors import ApiError

HEAD_TIMEOUT = 10.0  # seconds in which a request's head must have come whole
IDLE_TIMEOUT = 5  # seconds that a connection stays open between requests
MOST_CONNECTIONS = 4096
OTHER_FILES = 32  # descriptors beside those open at the start and connections: logs, votes, ...
MOST_AT_ONCE = 64  # connections that are accepted in one go
QUEUE = 1024  # connections that the system keeps until they are accepted
GRACE = 3  # seconds that answers in progress get when the server is stopped


class Connection(H11Protocol):
    """A connection that must ask for something within a time.

    Where there are as many as there may be, the one that has kept the server waiting longest for a request goes;
    where all of them are being answered, the new one is told so. So nobody needs a key to be heard, and nobody can take
    all places by saying nothing.
    """

    most = MOST_CONNECTIONS
    head_timeout = HEAD_TIMEOUT

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._waiting_since = time.monotonic()
        self._deadline: asyncio.TimerHandle | None = None
        self._expect_request()
        if len(self.connections) > self.most:
            silent = [one for one in self.connections if isinstance(one, Connection) and one.silent and one is not self]
            if silent:
                min(silent, key=lambda one: one._waiting_since).drop()
            else:
                self.refuse(ApiError(503, f"all {self.most} connections are in use; try again in a moment", "busy"))

    @property
    def silent(self) -> bool:
        """Whether it waits for a request, or for the rest of one's head."""
        return self.cycle is None or self.cycle.response_complete

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.silent and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and self.silent and self._deadline is None:
            self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP at all."""
        self.refuse(ApiError(400, "this is no HTTP request; see docs/serve.md for the addresses", "invalid_request"))

    def refuse(self, error: ApiError) -> None:
        """Say why, and close; just close if an answer is on its way."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            reply = error.response()
            headers = [*reply.raw_headers, (b"connection", b"close")]
            for event in (
                h11.Response(status_code=error.status, headers=headers),
                h11.Data(data=bytes(reply.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def drop(self) -> None:
        """Close without a word."""
        self.connections.discard(self)  # now, so that the next one that comes counts right
        self.transport.abort()

    def _expect_request(self) -> None:
        self._waiting_since = time.monotonic()
        self._deadline = self.loop.call_later(self.head_timeout, self._too_slow)

    def _too_slow(self) -> None:
        self._deadline = None
        if self.conn.trailing_data[0] and self.conn.our_state is h11.IDLE:
            message = f"the request's head did not come whole within {self.head_timeout:g} s"
            self.refuse(ApiError(408, message, "timeout"))
        else:
            self.drop()


class HttpServer(uvicorn.Server):
    """Uvicorn's, with a queue of its own length, which tells those whose answers are not finished that it stops."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(QUEUE)  # asyncio has made it as short as what it accepts in one go

    async def shutdown(self, sockets: Any = None) -> None:
        async def tell() -> None:
            await asyncio.sleep(GRACE)
            self.config.app.state.stop()  # type: ignore[union-attr]

        telling = asyncio.create_task(tell())
        await super().shutdown(sockets)
        telling.cancel()


def make_server(app: FastAPI, access_log: bool = False, tls: tuple[str, str] | None = None) -> HttpServer:
    """A server for the application; its `state.stop()` ends answers that are not finished.

    Args:
        app: see `make_app`.
        access_log: write a line for each request to the standard output.
        tls: files of the certificate and its key.
    """
    most, at_once = connection_limits()
    config = uvicorn.Config(
        app,
        http=type("Connection", (Connection,), {"most": most}),
        ws="none",
        lifespan="on",
        log_level="error",  # a line for every request that is no HTTP would fill the disk
        access_log=access_log,
        backlog=at_once,
        timeout_keep_alive=IDLE_TIMEOUT,
        timeout_graceful_shutdown=GRACE + 2,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
    )
    if access_log:
        logging.getLogger("uvicorn.access").setLevel(logging.INFO)
    return HttpServer(config)


def connection_limits() -> tuple[int, int]:
    """How many connections there may be, and how many are accepted in one go, with the descriptors that are left."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS, MOST_AT_ONCE
    listed = Path("/proc/self/fd")
    used = sum(1 for _ in listed.iterdir()) if listed.exists() else 64
    left = max(32, soft - used - OTHER_FILES)
    at_once = min(MOST_AT_ONCE, left // 8)
    # asyncio accepts that many in each turn of its loop, knows of them two turns later, and closes them in a fourth.
    return min(MOST_CONNECTIONS, left - 4 * at_once), at_once
