"""Adapters that come and go while the server runs, at vLLM's addresses (`vllm/entrypoints/serve/lora`)."""

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field

from camelid.errors import UserError
from finetune.serve.engine import ServingEngine
from finetune.serve.errors import ApiError
from finetune.serve.open_adapter import open_served_adapter
from finetune.serve.read_body import read_body


class LoadBody(BaseModel):
    """An adapter to serve.

    Attributes:
        lora_name: what clients shall call it.
        lora_path: its folder, inside the one that the server was given.
        base_model: which model it is for, where several are served.
    """

    model_config = ConfigDict(extra="forbid", strict=True)
    lora_name: str = Field(min_length=1, max_length=1000)
    lora_path: str = Field(min_length=1, max_length=4000)
    base_model: str | None = None


class UnloadBody(BaseModel):
    """An adapter to serve no more."""

    model_config = ConfigDict(extra="forbid", strict=True)
    lora_name: str


def add_lora_routes(app: FastAPI, key: Any, engines: MutableMapping[str, ServingEngine], folder: Path) -> None:
    """Add them.

    Args:
        app: the application.
        key: checks the API key.
        engines: by name; adapters are added to them.
        folder: what clients may have loaded lies in it.
    """

    @app.post("/v1/load_lora_adapter")
    async def load(_: key, request: HttpRequest) -> Any:
        body = await read_body(request, LoadBody)
        if body.lora_name in engines:
            raise ApiError(400, f"{body.lora_name!r} is served already; unload it first", "invalid_value", "lora_name")
        path = (folder / body.lora_path).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise ApiError(400, "the adapter must lie in the server's --lora-folder", "invalid_value", "lora_path")
        base = _base(engines, body.base_model)
        try:
            served = await asyncio.to_thread(open_served_adapter, base.served, body.lora_name, path)
        except UserError as error:
            raise ApiError(400, str(error), "invalid_value", "lora_path") from None
        if body.lora_name in engines:  # another request was faster
            raise ApiError(400, f"{body.lora_name!r} is served already; unload it first", "invalid_value", "lora_name")
        engines[body.lora_name] = base.beside(served)
        return {"id": body.lora_name, "object": "model"}

    @app.post("/v1/unload_lora_adapter")
    async def unload(_: key, request: HttpRequest) -> Any:
        body = await read_body(request, UnloadBody)
        engine = engines.get(body.lora_name)
        if engine is None or engine.served.adapter is None:
            message = f"no adapter of the name {body.lora_name[:200]!r} is served"
            raise ApiError(404, message, "model_not_found", "lora_name")
        del engines[body.lora_name]
        engine.scheduler.forget(engine.served.adapter)
        return {"id": body.lora_name, "deleted": True}


def _base(engines: MutableMapping[str, ServingEngine], name: str | None) -> ServingEngine:
    bases = {each: engine for each, engine in engines.items() if engine.served.adapter is None}
    if name is None and len(bases) == 1:
        return next(iter(bases.values()))
    if name is None or name not in bases:
        raise ApiError(400, f"name the adapter's model, one of {', '.join(bases)}", "invalid_value", "base_model")
    return bases[name]
