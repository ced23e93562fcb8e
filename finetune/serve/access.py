"""Who gets in: the names that the server answers to, the web pages that may use it, API keys."""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from camelid.errors import UserError
from camelid.files.read import read_text
from finetune.serve.errors import ApiError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Access:
    """Who gets in; by default every client of this machine, and no web page but the server's own.

    Attributes:
        host: the address it listens at. On loopback it answers only to loopback names and to `hosts`, so that no web
            page can reach it under a name of its own (DNS rebinding).
        hosts: further names that it answers to; elsewhere than on loopback, if there are any, no others.
        origins: web pages, like `https://chat.example`, that may use it (CORS).
        keys: one of them must be sent for `/v1/...`; without any, everybody may.
        root_path: where a proxy puts it, like `/llm`.
    """

    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    root_path: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it answers to; none for any."""
        return (*LOOPBACK, *self.hosts) if self.hosts or self.host in LOOPBACK else ()

    def check_key(self, headers: Mapping[str, str]) -> None:
        """Let a request in, or raise.

        Raises:
            ApiError: 401, its key is missing or wrong.
        """
        if not self.keys:
            return
        scheme, _, given = headers.get("authorization", "").strip().partition(" ")
        sent = given.strip().encode()
        known = [hmac.compare_digest(sent, key.encode()) for key in self.keys]  # all, so that time tells nothing
        if scheme.lower() != "bearer" or not any(known):
            raise ApiError(401, "the API key is missing or wrong; send 'Authorization: Bearer KEY'", "invalid_api_key")


def read_keys(path: str | Path) -> tuple[str, ...]:
    """The keys in a file, one a line.

    Raises:
        UserError: there are none, or one is not printable ASCII without blanks.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    keys = tuple(dict.fromkeys(line for line in lines if line))
    if not keys:
        raise UserError(f"{path}: must hold the API keys, one a line")
    for number, line in enumerate(lines, start=1):
        if line and not (line.isascii() and line.isprintable() and " " not in line):
            raise UserError(f"{path}:{number}: a key must be printable ASCII without blanks")
    return keys


def guard(app: FastAPI, access: Access) -> None:
    """Keep out what is meant for another name or comes from another web page."""
    if access.names:
        app.add_middleware(_HostNames, names=access.names)
    if access.origins:
        app.add_middleware(
            _Origins, allow_origins=access.origins, allow_methods=["GET", "POST", "DELETE"], allow_headers=["*"]
        )


class _HostNames:
    """Answers to some names alone."""

    def __init__(self, app: ASGIApp, names: tuple[str, ...]) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            asked = _host_name(Headers(scope=scope).get("host", ""))
            if not any(_matches(asked, name) for name in self._names):
                error = ApiError(
                    400,
                    f"this server does not answer to the name {asked[:200]!r}; if it shall, start it with "
                    f"--allowed-host NAME (now: {', '.join(self._names)})",
                    "invalid_host",
                )
                await error.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _Origins(CORSMiddleware):
    """Starlette's, but a refusal says how to mend it."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        text = f"web pages of {request_headers['origin'][:200]!r} may not use this server so; see --cors-origin"
        return JSONResponse(ApiError(response.status_code, text, "origin_not_allowed").to_json(), response.status_code)


def _host_name(header: str) -> str:
    """A Host header without its port."""
    found = re.fullmatch(r"\[([^\]]*)\](?::\d*)?|([^:]*)(?::\d*)?", header.strip())
    return (found[1] or found[2] or "").lower().rstrip(".") if found else header


def _matches(asked: str, name: str) -> bool:
    if name.startswith("*."):
        return asked.endswith(name[1:].lower())
    return asked == name.lower().strip("[]") or name == "*"


def parse_origin(text: str) -> str:
    """An origin as browsers send it.

    Raises:
        UserError: it is none.
    """
    if text != "*" and not re.fullmatch(r"https?://[^/\s]+", text):
        raise UserError(f"--cors-origin {text}: expected an origin, like https://chat.example or http://localhost:3000")
    return text


def parse_root_path(text: str) -> str:
    """Where a proxy puts the server.

    Raises:
        UserError: it is no path.
    """
    path = text.rstrip("/")
    if path and not re.fullmatch(r"(/[\w.~-]+)+", path):
        raise UserError(f"--root-path {text}: expected a path like /llm")
    return path


def parse_host(text: str) -> str:
    """A name that the server answers to.

    Raises:
        UserError: it is none.
    """
    if not re.fullmatch(r"\*|(\*\.)?[\w.-]+|\[?[0-9A-Fa-f:.]+\]?", text):
        raise UserError(f"--allowed-host {text}: expected a host name without scheme and port, like chat.example")
    return text
