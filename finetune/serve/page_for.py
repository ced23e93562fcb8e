"""The chat page for models of another server: it passes the page's questions on, and keeps the votes."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict

from camelid.errors import UserError
from finetune.serve.access import Access, guard
from finetune.serve.error_handlers import add_error_handlers
from finetune.serve.errors import ApiError
from finetune.serve.listen import Listening, run_app
from finetune.serve.page_routes import add_page_routes
from finetune.serve.pairs import Pairs
from finetune.serve.read_body import read_body
from finetune.serve.remote import Event, Remote
from finetune.serve.vote_routes import add_vote_routes
from finetune.serve.votes import RateVotes, Votes


def run_page(base_url: str, access: Access, listening: Listening, votes: Path, rate_votes: RateVotes) -> int:
    """Serve the page until Ctrl-C or a termination signal.

    Raises:
        UserError: one of the addresses, or the certificate, can't be used.
    """
    if not base_url.startswith(("http://", "https://")):
        raise UserError(f"--page-for {base_url}: must begin with http:// or https://, as http://localhost:8000/v1")
    return run_app(
        make_page_app(base_url, access, votes, rate_votes), f"serving the models of {base_url}", access, listening
    )


class PassedBody(BaseModel):
    """A request that the other server checks; what is needed to pass it on."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[dict[str, Any]]
    stream: bool


def make_page_app(base_url: str, access: Access, votes: Path, rate_votes: RateVotes) -> FastAPI:
    """The application.

    Args:
        base_url: of the server that answers, like `http://localhost:8000/v1`.
        access: who gets in. Without keys of its own it passes on the one that the page was given.
        votes: the folder for verdicts.
        rate_votes: makes the leaderboard of such a folder.
    """
    remote = Remote(base_url)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        yield
        await remote.close()

    async def authorised(request: HttpRequest) -> str | None:
        access.check_key(request.headers)
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return key.strip() if not access.keys and scheme.lower() == "bearer" else None

    app = FastAPI(title="Camelid", lifespan=running, openapi_url=None, root_path=access.root_path)
    app.state.stop = lambda: None
    guard(app, access)
    add_error_handlers(app)
    add_page_routes(app, base_url)
    pairs = Pairs()
    _add_passing_routes(app, Annotated[str | None, Depends(authorised)], remote, pairs)
    add_vote_routes(app, Annotated[None, Depends(authorised)], pairs, Votes(votes, rate_votes), remote.known_models)
    return app


def _add_passing_routes(app: FastAPI, key: Any, remote: Remote, pairs: Pairs) -> None:
    """What the other server answers."""

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get("/v1/models")
    async def models(given: key) -> Any:
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in await remote.models(given)]}

    @app.post("/v1/chat/completions")
    async def chat(given: key, request: HttpRequest) -> Response:
        body = await read_body(request, PassedBody)
        if not body.stream:
            raise ApiError(400, f"only streams are passed on; ask {remote.base_url} itself", "invalid_value", "stream")
        asked = body.model_dump()
        events = _with_veil(remote.stream(pairs.unveil(asked), given), asked["model"])
        first = await anext(events, None)  # so that an error at the start keeps its status
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        return StreamingResponse(_as_lines(first, events), media_type="text/event-stream", headers=headers)


async def _with_veil(events: AsyncIterator[Event], name: str) -> AsyncIterator[Event]:
    """The events under the name that was asked for, which of a pair's sides tells nothing."""
    async for event in events:
        yield {**{field: value for field, value in event.items() if field != "system_fingerprint"}, "model": name}


async def _as_lines(first: Event | None, events: AsyncIterator[Event]) -> AsyncIterator[str]:
    try:
        if first is not None:
            yield f"data: {json.dumps(first)}\n\n"
        async for event in events:
            yield f"data: {json.dumps(event)}\n\n"
        yield "data: [DONE]\n\n"
    except ApiError as error:
        yield f"data: {json.dumps(error.to_json())}\n\n"
