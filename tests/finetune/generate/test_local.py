"""A model folder as an `LLM`: transformers' answers, and nobody waits for the slowest."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from camelid.message import Message
from camelid.models.llm import Failure, Reply, Request
from finetune.folders.open_folder import open_chat_tokenizer
from finetune.generate.local import LocalModel
from finetune.generate.slots import Slots

CHATS = ("red cat", "the dog sees a tree", "slow " * 20)


def test_greedy_equals_transformers_in_every_shape(shaped_models: dict[str, Path], one_thread: None) -> None:
    async def ask(model: LocalModel) -> list[Reply | Failure]:
        requests = [Request((Message("user", text),), temperature=0, max_tokens=40) for text in CHATS]
        return await asyncio.gather(*map(model.complete, requests))

    for name, folder in shaped_models.items():
        peer, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        for text, reply in zip(CHATS, asyncio.run(ask(LocalModel.open(folder))), strict=True):
            chat = [{"role": "user", "content": text}]
            ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")["input_ids"]
            truth = peer.generate(ids, max_new_tokens=40, do_sample=False)[0, ids.shape[1] :].tolist()
            truth = truth[: truth.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in truth else truth
            assert isinstance(reply, Reply), name
            assert reply.text == tokenizer.decode(truth, skip_special_tokens=True).strip(), (name, text)
            assert reply.usage.completion_tokens == len(truth) and reply.usage.prompt_tokens == ids.shape[1]


def test_an_open_turn_of_the_user_is_transformers(shaped_models: dict[str, Path]) -> None:
    for name, folder in shaped_models.items():
        tokenizer, words = AutoTokenizer.from_pretrained(folder), open_chat_tokenizer(folder)
        for before in ((), (Message("user", "red cat"), Message("assistant", "the dog"))):
            chat = [message.to_json() for message in (*before, Message("user", ""))]
            truth = tokenizer.apply_chat_template(chat, continue_final_message=True, tokenize=False)
            ids, closing = words.encoder.encode_open_turn(before)
            assert tokenizer.decode(ids) == truth.rstrip(" "), name
            assert closing.strip()


async def test_requests_join_and_leave_while_others_are_answered(lively_model: Path, one_thread: None) -> None:
    """A short answer with other sampling is there before the long one it joined, and is what it is alone."""
    model = LocalModel.open(lively_model)
    short = Request((Message("user", "slow"),), temperature=0.7, max_tokens=3, seed=1)
    long = Request((Message("user", "red cat"),), temperature=0, max_tokens=220, extra={"repetition_penalty": 1.05})
    alone = [await model.complete(request) for request in (long, short)]
    assert isinstance(alone[0], Reply) and alone[0].usage.completion_tokens > 100
    slow = asyncio.create_task(model.complete(long))
    await asyncio.sleep(0.005)
    quick = await model.complete(short)
    assert not slow.done()
    assert [await slow, quick] == alone


async def test_a_request_that_is_given_up_leaves_and_a_failure_is_heard(
    lively_model: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    model = LocalModel.open(lively_model)
    request = Request((Message("user", "red cat"),), temperature=0, max_tokens=200)
    alone = await model.complete(request)
    given_up = asyncio.create_task(model.complete(request))
    await asyncio.sleep(0.005)
    given_up.cancel()
    rows: list[int] = []
    step = Slots.step

    def counted(self: Slots) -> Any:
        rows.append(len(self.lengths))
        return step(self)

    with monkeypatch.context() as watched:
        watched.setattr(Slots, "step", counted)
        await model.complete(dataclasses.replace(request, max_tokens=9))
    assert rows[-1] == 1
    with monkeypatch.context() as broken:
        broken.setattr(Slots, "attend", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(model.complete(request), 60)
    assert await asyncio.wait_for(model.complete(request), 60) == alone
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


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
