"""A model folder behind the protocol that all models speak."""

import asyncio
from pathlib import Path
from typing import Any

from camelid.message import Message
from camelid.models.llm import Failure, Reply, Request
from finetune.generate.local import LocalModel


def test_local_model_speaks_the_protocol(toy_model: Path) -> None:
    model = LocalModel.open(toy_model)
    assert model.name.startswith(f"{toy_model}@")

    async def ask(*requests: Request) -> list[Any]:
        return await asyncio.gather(*(model.complete(request) for request in requests))

    requests = [Request((Message("user", text),), temperature=0, max_tokens=8) for text in ("red cat", "a", "dog " * 5)]
    replies = asyncio.run(ask(*requests, requests[0]))
    assert all(isinstance(reply, Reply) for reply in replies)
    assert replies[0] == replies[3]
    assert 0 < replies[0].usage.completion_tokens <= 8
    [failure] = asyncio.run(ask(Request((Message("user", "red " * 2000),), max_tokens=8)))
    assert isinstance(failure, Failure) and failure.kind == "bad_request"
