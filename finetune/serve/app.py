"""The server: OpenAI's endpoints, health and metrics, the chat page."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import BaseModel, ValidationError
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from camelid.errors import UserError, suggest_name
from finetune.serve.bodies import MOST_PROMPTS, ChatBody, CompletionBody, VoteBody
from finetune.serve.engine import RunningRequest, ServerLimits, ServingEngine
from finetune.serve.errors import ApiError, invalid
from finetune.serve.metrics import exposition
from finetune.serve.page import Page
from finetune.serve.replies import EndpointKind, ReplyWriter
from finetune.serve.served import ServedModel
from finetune.serve.votes import Votes

MOST_BODY = 4 << 20  # bytes of a request
MOST_READ = 16 * MOST_BODY  # bytes that are still read, and thrown away, so that the client hears why
BODY_TIMEOUT = 60.0  # seconds in which a request's body must have come
MOST_PROMPT_LOGPROBS = 1 << 19  # of one reply; each takes some 40 bytes of it
LOOPBACK = ("127.0.0.1", "localhost", "::1")

BodyT = TypeVar("BodyT", bound=BaseModel)
ResultT = TypeVar("ResultT")


def make_app(
    served: Sequence[ServedModel], limits: ServerLimits, api_key: str | None, votes: Path, host: str
) -> FastAPI:
    """The application; the models' threads start and stop with it.

    Args:
        served: the models, under different names.
        limits: for each model.
        api_key: what clients must send for `/v1/...`; None lets everybody in.
        votes: the folder for verdicts from the chat page.
        host: the address it listens at. On loopback it answers only to loopback names, so that no web page can reach
            it under a name of its own (DNS rebinding).
    """
    engines: dict[str, ServingEngine] = {}

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        engines.update({one.name: ServingEngine(one, limits, loop) for one in served})
        yield
        for engine in engines.values():
            engine.scheduler.close()

    async def authorised(request: HttpRequest) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if api_key is not None and not hmac.compare_digest(given.encode(), api_key.encode()):
            raise ApiError(401, "the API key is missing or wrong; send 'Authorization: Bearer KEY'", "invalid_api_key")

    app = FastAPI(title="Camelid", lifespan=running, docs_url=None, redoc_url=None, openapi_url=None)
    if host in LOOPBACK:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "[::1]"])
    _add_error_handlers(app)
    _add_open_routes(app, engines, Page())
    _add_model_routes(app, engines, Annotated[None, Depends(authorised)], Votes(votes))
    return app


def _add_open_routes(app: FastAPI, engines: Mapping[str, ServingEngine], page: Page) -> None:
    """What needs no key: the page, health, metrics."""

    @app.get("/")
    async def chat_page() -> Response:
        return HTMLResponse(page.html, headers=page.headers)

    @app.get("/health")
    async def health() -> Response:
        alive = all(engine.scheduler.alive for engine in engines.values())
        return JSONResponse({"status": "ok" if alive else "a model's thread has died"}, 200 if alive else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return PlainTextResponse(exposition(engines.values()), media_type="text/plain; version=0.0.4")


def _add_model_routes(app: FastAPI, engines: Mapping[str, ServingEngine], key: Any, votes: Votes) -> None:
    """What needs the key, if there is one."""

    @app.get("/v1/models")
    async def models(_: key) -> Any:
        return {"object": "list", "data": [_model(engine) for engine in engines.values()]}

    @app.get("/v1/models/{name:path}")
    async def model(_: key, name: str) -> Any:
        return _model(_engine(engines, name))

    @app.post("/v1/chat/completions")
    async def chat(_: key, request: HttpRequest) -> Response:
        body = await read_body(request, ChatBody)
        engine = _engine(engines, body.model)
        try:
            prompt = await engine.encode_chat([message.message() for message in body.messages])
        except UserError as error:
            raise ApiError(
                400, str(error).removeprefix("conversation 'prompt': "), "invalid_value", "messages"
            ) from None
        run = engine.start([prompt], body.seeds(), body.sampling())
        return await _reply(request, "chat", engine, run, body)

    @app.post("/v1/completions")
    async def completions(_: key, request: HttpRequest) -> Response:
        body = await read_body(request, CompletionBody)
        engine = _engine(engines, body.model)
        given = body.prompts()
        if not 1 <= len(given) <= MOST_PROMPTS:
            raise ApiError(400, f"give from 1 to {MOST_PROMPTS} prompts", "invalid_value", "prompt")
        if body.suffix is None:
            prompts = [await engine.encode_text(prompt) for prompt in given]
        else:
            prompts = [await engine.encode_infill(str(prompt), body.suffix) for prompt in given]
        _require_few_logprobs(prompts, body)
        run = engine.start(prompts, body.seeds(), replace(body.sampling(), after=engine.served.anchor))
        return await _reply(request, "completion", engine, run, body, given if body.echo else ())

    @app.post("/v1/votes")
    async def vote(_: key, request: HttpRequest) -> Any:
        body = await read_body(request, VoteBody)
        for name in body.models:
            _engine(engines, name)
        question = votes.add(body)
        return {"question": question, "folder": str(votes.folder)}


def _require_few_logprobs(prompts: Sequence[list[int]], body: CompletionBody) -> None:
    """Refuse what would make a reply of hundreds of megabytes.

    Raises:
        ApiError: it asks for too many log-probabilities of prompt tokens.
    """
    asked = sum(map(len, prompts)) * body.n * ((body.logprobs or 0) + 1) if body.echo else 0
    if asked > MOST_PROMPT_LOGPROBS:
        message = (
            f"'echo' with 'logprobs' would give {asked} log-probabilities, at most {MOST_PROMPT_LOGPROBS} fit a reply"
        )
        raise ApiError(400, f"{message}; send fewer prompts at a time", "invalid_value", "prompt")


async def _reply(
    request: HttpRequest,
    kind: EndpointKind,
    engine: ServingEngine,
    run: RunningRequest,
    body: ChatBody | CompletionBody,
    echoed: Sequence[str | list[int]] = (),
) -> Response:
    engine.counts["requests"] += 1
    writer = ReplyWriter(kind, engine, run, echoed)
    if body.stream:
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        events, given_up = writer.events(body.usage_in_stream), BackgroundTask(run.close)  # even if it never begins
        return StreamingResponse(events, media_type="text/event-stream", headers=headers, background=given_up)
    try:
        return JSONResponse(await cancel_if_disconnected(request, writer.whole()))
    finally:
        await run.close()


async def cancel_if_disconnected(request: HttpRequest, work: Awaitable[ResultT]) -> ResultT:
    """The work's result, or its end as soon as the client hangs up.

    Raises:
        ApiError: the client has gone (nobody will read it).
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ApiError(499, "the client closed the connection")  # nginx's status for it
        return working.result()
    finally:
        working.cancel()
        watching.cancel()


async def _disconnected(request: HttpRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def read_body(request: HttpRequest, kind: type[BodyT]) -> BodyT:
    """Read and check a JSON body.

    Asking for the JSON content type keeps other web pages out: browsers let them send it only where a server agrees.

    Raises:
        ApiError: it is of another type, too large, too slow, no JSON, or not what the protocol says.
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
    try:
        return kind.model_validate_json(bytes(raw))
    except ValidationError as error:
        raise invalid(error) from None


def _engine(engines: Mapping[str, ServingEngine], name: str) -> ServingEngine:
    if name not in engines:
        raise ApiError(
            404,
            f"the model {name[:200]!r} is not served here{suggest_name(name[:200], engines)}",
            "model_not_found",
            "model",
        )
    return engines[name]


def _model(engine: ServingEngine) -> dict[str, Any]:
    context = engine.scheduler.room(engine.served.model.config.context, 0)
    facts = {"id": engine.served.name, "object": "model", "created": engine.created, "owned_by": "camelid"}
    return {**facts, "max_model_len": context}


def _add_error_handlers(app: FastAPI) -> None:
    def reply(error: ApiError) -> Response:
        headers = {"retry-after": "1"} if error.status == 429 else None
        return JSONResponse(error.to_json(), error.status, headers)

    async def ours(_: HttpRequest, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        return reply(error)

    async def routing(request: HttpRequest, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return reply(ApiError(error.status_code, f"{request.method} {request.url.path}: {error.detail}"))

    async def bug(_: HttpRequest, error: Exception) -> Response:
        return reply(ApiError(500, f"a fault of this server ({type(error).__name__}); see its log"))

    handlers: dict[Any, Callable[[HttpRequest, Exception], Awaitable[Response]]]
    handlers = {ApiError: ours, HTTPException: routing, Exception: bug}
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
