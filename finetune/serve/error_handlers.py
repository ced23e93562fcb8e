"""Every error is OpenAI's error object and says how to mend it."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from finetune.serve.errors import ApiError

REMEDIES = {404: "there is no such address here; docs/serve.md lists those that are"}


def add_error_handlers(app: FastAPI) -> None:
    """For errors of ours, of the routing, and faults."""

    async def ours(_: HttpRequest, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return error.response()

    async def routing(request: HttpRequest, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        methods = sorted(set(dict(error.headers or {}).get("Allow", "").split(", ")) - {""})
        remedy = (
            f"this address takes {' or '.join(methods)}" if methods else REMEDIES.get(error.status_code, error.detail)
        )
        found = ApiError(error.status_code, f"{request.method} {request.url.path[:200]}: {remedy}").response()
        found.headers.update({"allow": ", ".join(methods)} if methods else {})
        return found

    async def bug(_: HttpRequest, error: Exception) -> Response:
        return ApiError(500, f"a fault of this server ({type(error).__name__}); see its log").response()

    handlers: dict[Any, Callable[[HttpRequest, Exception], Awaitable[Response]]]
    handlers = {ApiError: ours, HTTPException: routing, Exception: bug}
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
