"""Compare and arena: a pair of answers is asked for, and gets one vote."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest

from camelid.errors import UserError, suggest_name
from finetune.serve.bodies import PairBody, VoteBody
from finetune.serve.errors import ApiError
from finetune.serve.pairs import Pairs
from finetune.serve.read_body import read_body
from finetune.serve.votes import Votes


def add_vote_routes(
    app: FastAPI, key: Any, pairs: Pairs, votes: Votes, models: Callable[[], Awaitable[Sequence[str]]]
) -> None:
    """Add them.

    Args:
        app: the application.
        key: what a request must have to get in, as a dependency.
        pairs: those that wait for their vote.
        votes: where votes are kept.
        models: gives the names of those that can answer.
    """
    one_by_one = asyncio.Lock()  # two tabs may vote at the same time

    @app.post("/v1/pairs")
    async def ask(_: key, request: HttpRequest) -> Any:
        body = await read_body(request, PairBody)
        names = await models()
        for side in body.sides or ():
            if side.model not in names:
                message = f"the model {side.model[:200]!r} is not served here{suggest_name(side.model[:200], names)}"
                raise ApiError(404, message, "model_not_found", "sides")
        pair = pairs.ask(body, names)
        return {"id": pair.id, "object": "pair", "models": pair.names}

    @app.post("/v1/votes")
    async def vote(_: key, request: HttpRequest) -> Any:
        body = await read_body(request, VoteBody)
        async with one_by_one:
            pair = pairs.find(body.pair)
            kept = await asyncio.to_thread(votes.add, pair, body)
        return {"pair": pair.id, "models": pair.labels, "winner": kept, "folder": str(votes.folder)}

    @app.api_route("/v1/leaderboard", methods=["GET", "HEAD"])
    async def leaderboard(_: key) -> Any:
        async with one_by_one:
            try:
                board = await asyncio.to_thread(votes.leaderboard)
            except UserError as error:
                raise ApiError(500, str(error), "broken_votes") from None
        return {"object": "leaderboard", **board}
