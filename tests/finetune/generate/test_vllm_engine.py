"""What is asked of vLLM and what is made of its answers."""

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from camelid.errors import UserError
from camelid.message import Message
from camelid.models.llm import Reply, Request
from finetune.folders import weights
from finetune.generate.local import LocalModel


def test_vllm_engine(toy_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in with the fields of vLLM 0.33: what is asked of it, and what is made of its answer."""
    asked: dict[str, Any] = {}

    class Standin:
        def __init__(self, model: str, max_model_len: int) -> None:
            asked["model"] = (model, max_model_len)

        def generate(self, prompts: list[dict[str, list[int]]], parameters: list[Any], use_tqdm: bool) -> list[Any]:
            asked["prompts"], asked["parameters"] = prompts, parameters
            logprobs = [{7: SimpleNamespace(logprob=-0.5)}, {8: SimpleNamespace(logprob=-0.25)}]
            end = parameters[0].stop_token_ids[0]
            output = SimpleNamespace(token_ids=[7, end], text=" yes", finish_reason="stop", logprobs=logprobs)
            return [SimpleNamespace(outputs=[output]) for _ in prompts]

    vllm = SimpleNamespace(LLM=Standin, SamplingParams=lambda **fields: SimpleNamespace(**fields))
    monkeypatch.setitem(sys.modules, "vllm", vllm)  # type: ignore[arg-type]
    model = LocalModel.open(toy_model, engine="vllm")
    request = Request((Message("user", "red"),), temperature=0.5, stop=("cat",), seed=3, extra={"logprobs": True})
    reply = asyncio.run(model.complete(request))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish_reason, reply.usage.completion_tokens) == ("yes", "stop", 1)
    assert [list(step.values()) for step in reply.top_logprobs] == [[-0.5]]
    context = weights.load_model(toy_model).config.context
    [prompt], [parameters] = asked["prompts"], asked["parameters"]
    assert asked["model"] == (str(toy_model), context)
    assert vars(parameters) == {
        "temperature": 0.5, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "seed": 3, "stop": ["cat"],
        "stop_token_ids": parameters.stop_token_ids, "logprobs": 0, "min_p": 0.0,
        "presence_penalty": 0.0, "frequency_penalty": 0.0,
        "max_tokens": min(1024, context - len(prompt["prompt_token_ids"])),
    }  # fmt: skip

    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UserError, match="vLLM is not installed"):
        LocalModel.open(toy_model, engine="vllm")
