"""Errors as OpenAI's error objects: {"error": {"message", "type", "param", "code"}}."""

from typing import Any

from pydantic import ValidationError
from starlette.responses import JSONResponse


class ApiError(Exception):
    """What a client did wrong, or what keeps the server from answering.

    Args:
        status: HTTP status, 400 or more.
        message: for a person; what is wrong and how to mend it.
        code: for a program, as OpenAI names it where OpenAI has the case.
        param: the field of the request at fault.
    """

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param

    def to_json(self) -> dict[str, Any]:
        kinds = {401: "authentication_error", 429: "rate_limit_error", 503: "service_unavailable", 504: "timeout"}
        kind = kinds.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        """It as a reply."""
        more = {401: {"www-authenticate": "Bearer"}, 429: {"retry-after": "1"}, 503: {"retry-after": "1"}}
        return JSONResponse(self.to_json(), self.status, more.get(self.status))


def invalid(error: ValidationError) -> ApiError:
    """The first thing that pydantic found wrong with a request body."""
    first = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return ApiError(
            400, f"The body is not valid JSON: {first['msg'].removeprefix('Invalid JSON: ')}", "invalid_json"
        )
    param = ".".join(str(part) for part in first["loc"]) or None
    param = param and param[:200]
    if first["type"] == "extra_forbidden":
        return ApiError(400, f"Unrecognized request argument: {param}", "unknown_parameter", param)
    message = first["msg"].removeprefix("Value error, ")
    return ApiError(400, f"Invalid value for '{param}': {message}" if param else message, "invalid_value", param)
