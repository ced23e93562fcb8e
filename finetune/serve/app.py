"""The server: OpenAI's endpoints, health and metrics, the chat page."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from pydantic import ValidationError
from starlette.background import BackgroundTask

from camelid.errors import suggest_name
from finetune.serve.access import Access, guard
from finetune.serve.bodies import MOST_PROMPTS, ChatBody, CompletionBody
from finetune.serve.chat_request import start_chat
from finetune.serve.engine import RunningRequest, ServerLimits, ServingEngine
from finetune.serve.error_handlers import add_error_handlers
from finetune.serve.errors import ApiError, invalid
from finetune.serve.json_reply import json_response
from finetune.serve.lora_routes import add_lora_routes
from finetune.serve.metrics import exposition
from finetune.serve.page_routes import LOOK, add_page_routes
from finetune.serve.pairs import PREFIX, Pairs
from finetune.serve.read_body import read_body
from finetune.serve.replies import ReplyWriter
from finetune.serve.responses_body import ResponsesBody
from finetune.serve.responses_reply import ResponsesWriter
from finetune.serve.served import ServedModel
from finetune.serve.structured import grammar_of_regex
from finetune.serve.vote_routes import add_vote_routes
from finetune.serve.votes import RateVotes, Votes

MOST_PROMPT_LOGPROBS = 1 << 19  # of one reply; each takes some 40 bytes of it
ResultT = TypeVar("ResultT")


def make_app(
    served: Sequence[ServedModel],
    limits: ServerLimits,
    access: Access,
    votes: Path,
    rate_votes: RateVotes,
    lora_folder: Path | None = None,
) -> FastAPI:
    """The application; the models' threads start and stop with it.

    Args:
        served: the models, under different names.
        limits: for each model.
        access: who gets in.
        votes: the folder for verdicts from the chat page.
        rate_votes: makes the leaderboard of such a folder.
        lora_folder: clients may have adapters in it loaded; None lets them load none.
    """
    engines: dict[str, ServingEngine] = {}

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        engines.update({one.name: ServingEngine(one, limits, loop) for one in served if one.base is None})
        engines.update({one.name: engines[one.base].beside(one) for one in served if one.base is not None})
        yield
        for engine in engines.values():
            engine.close()

    async def authorised(request: HttpRequest) -> None:
        access.check_key(request.headers)

    async def names() -> list[str]:
        return list(engines)

    def stop() -> None:
        for engine in engines.values():
            engine.stop()

    app = FastAPI(title="Camelid", lifespan=running, openapi_url=None)
    app.root_path, app.state.stop = access.root_path, stop
    guard(app, access)
    add_error_handlers(app)
    key, pairs = Annotated[None, Depends(authorised)], Pairs()
    add_page_routes(app)
    _add_open_routes(app, engines)
    _add_model_routes(app, engines, key, pairs)
    if lora_folder is not None:
        add_lora_routes(app, key, engines, lora_folder)
    add_vote_routes(app, key, pairs, Votes(votes, rate_votes), names)
    return app


def _add_open_routes(app: FastAPI, engines: Mapping[str, ServingEngine]) -> None:
    """What needs no key, beside the pages: health and metrics."""

    @app.api_route("/health", methods=LOOK)
    async def health() -> Response:
        alive = all(engine.scheduler.alive for engine in engines.values())
        return JSONResponse({"status": "ok" if alive else "a model's thread has died"}, 200 if alive else 503)

    @app.api_route("/metrics", methods=LOOK)
    async def metrics() -> Response:
        return PlainTextResponse(exposition(engines.values()), media_type="text/plain; version=0.0.4")


def _add_model_routes(app: FastAPI, engines: Mapping[str, ServingEngine], key: Any, pairs: Pairs) -> None:
    """What needs the key, if there is one."""

    @app.api_route("/v1/models", methods=LOOK)
    async def models(_: key) -> Any:
        return {"object": "list", "data": [_model(engine) for engine in engines.values()]}

    @app.api_route("/v1/models/{name:path}", methods=LOOK)
    async def model(_: key, name: str) -> Any:
        return _model(_engine(engines, name))

    @app.post("/v1/chat/completions")
    async def chat_completions(_: key, request: HttpRequest) -> Response:
        body = await read_body(request, ChatBody)
        veil = body.model if body.model.startswith(PREFIX) else None
        if veil:
            body = ChatBody.model_validate(pairs.unveil(body.model_dump(exclude_unset=True, by_alias=True)))
        engine = _engine(engines, body.model)
        chat = await start_chat(engine, body)
        writer = ReplyWriter("chat", engine, chat.run, veil, chat.begun, form=chat.form)
        return await _reply(request, engine, chat.run, writer.whole, writer.events(body.usage_in_stream), body.stream)

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
        grammar = None
        if body.regex is not None:
            grammar = await asyncio.to_thread(lambda: grammar_of_regex(str(body.regex), engine.grammar_tokenizer))
        sampling = replace(body.sampling(), after=engine.served.anchor, grammar=grammar)
        run = engine.start(prompts, body.seeds(), sampling)
        writer = ReplyWriter("completion", engine, run, echoed=given if body.echo else ())
        return await _reply(request, engine, run, writer.whole, writer.events(body.usage_in_stream), body.stream)

    @app.post("/v1/responses")
    async def responses(_: key, request: HttpRequest) -> Response:
        body = await read_body(request, ResponsesBody)
        engine = _engine(engines, body.model)
        try:
            chat = await start_chat(engine, body.chat())
        except ValidationError as error:
            raise invalid(error) from None
        writer = ResponsesWriter(engine, chat, body)
        return await _reply(request, engine, chat.run, writer.whole, writer.events(), bool(body.stream))


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
    engine: ServingEngine,
    run: RunningRequest,
    whole: Callable[[], Awaitable[list[bytes]]],
    events: AsyncIterator[bytes],
    stream: bool,
) -> Response:
    engine.counts["requests"] += 1
    if stream:
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        given_up = BackgroundTask(run.close)  # even if it never begins
        return StreamingResponse(events, media_type="text/event-stream", headers=headers, background=given_up)
    try:
        return json_response(await cancel_if_disconnected(request, whole()))
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
