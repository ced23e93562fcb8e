"""Reads and checks the JSON body of a request."""

import asyncio
from typing import TypeVar

from fastapi import Request as HttpRequest
from pydantic import BaseModel, ValidationError

from finetune.serve.errors import ApiError, invalid

MOST_BODY = 4 << 20  # bytes of a request
MOST_READ = 16 * MOST_BODY  # bytes that are still read, and thrown away, so that the client hears why
BODY_TIMEOUT = 60.0  # seconds in which a request's body must have come

BodyT = TypeVar("BodyT", bound=BaseModel)


async def read_body(request: HttpRequest, kind: type[BodyT]) -> BodyT:
    """Read and check a JSON body.

    Raises:
        ApiError: see `read_raw_body`, or it is not what the protocol says.
    """
    raw = await read_raw_body(request)
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        raise invalid(error) from None


async def read_raw_body(request: HttpRequest) -> bytes:
    """The bytes of a JSON body.

    Asking for the JSON content type keeps other web pages out: browsers let them send it only where a server agrees.

    Raises:
        ApiError: it is of another type, too large or too slow.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "send the request as 'Content-Type: application/json'", "unsupported_media_type")
    raw, size = bytearray(), 0

    async def read() -> None:
        nonlocal size
        async for part in request.stream():
            size += len(part)
            if size <= MOST_BODY:
                raw.extend(part)
            elif size > MOST_READ:
                return

    try:
        await asyncio.wait_for(read(), BODY_TIMEOUT)
    except TimeoutError:
        raise ApiError(408, f"the request did not come whole within {BODY_TIMEOUT:g} s", "timeout") from None
    if size > MOST_BODY:
        raise ApiError(413, f"the request has more than {MOST_BODY:,} bytes", "request_too_large")
    return bytes(raw)
