"""The client against every shape of answer: the right text or failure, in bounded requests, never paid for again."""

import json
import math
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from camelid.message import Message
from camelid.models.llm import FATAL, FINAL, Failure, Reply, Request, complete_in_order
from camelid.models.model_run import ModelRun
from camelid.models.openai_api import OpenAIModel
from camelid.models.spend import Price
from tests.fake_openai import FakeOpenAI
from tests.server_shapes import COMPLETION, PROMPT, SHAPES, Shape, completion

PRICE = Price(1.0, 2.0)


def serve(shape: Shape) -> FakeOpenAI:
    return FakeOpenAI(respond=lambda body: shape.respond(body, f"echo: {body['messages'][-1]['content']}"))


def asked(shape: Shape, number: int = 0) -> Request:
    named = {name: shape.extra[name] for name in ("max_tokens", "seed") if name in shape.extra}
    others = {name: value for name, value in shape.extra.items() if name not in named}
    return Request((Message("user", f"question {number}"),), temperature=0.5, top_p=0.9, extra=others, **named)


def ask(server: FakeOpenAI, path: Path, requests: list[Request]) -> tuple[ModelRun, list[Reply | Failure]]:
    with ModelRun(OpenAIModel("fake", server.url, first_wait=0.0005), path, price=PRICE) as model:

        async def run() -> list[Reply | Failure]:
            async with aclosing(complete_in_order(model, requests, model.concurrency)) as results:
                return [result async for _, result in results]

        return model, model.run(run())


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    with serve(shape) as server:
        model, [result] = ask(server, tmp_path / "journal.jsonl", [asked(shape)])
        assert len(server.requests) == shape.sent
        if shape.kind is None:
            assert isinstance(result, Reply) and result.text == "echo: question 0", result
        else:
            assert isinstance(result, Failure) and (result.kind, result.attempts) == (shape.kind, shape.sent), result
            assert shape.said in result.detail and "\n" not in result.detail
        counted = model.usage.prompt_tokens, model.usage.completion_tokens
        if shape.billed:
            assert counted == (shape.billed * PROMPT, shape.billed * COMPLETION) and not model.usage.reckoned
            assert model.cost == pytest.approx((counted[0] * 1.0 + counted[1] * 2.0) / 1e6)
        again, [once_more] = ask(server, tmp_path / "journal.jsonl", [asked(shape)])
        if shape.kind is None or shape.kind in FINAL:
            assert len(server.requests) == shape.sent and again.cost == model.cost
            assert getattr(once_more, "text", shape.kind) == getattr(result, "text", shape.kind)


@pytest.mark.slow
def test_a_shape_ends_a_long_job_in_bounded_requests(tmp_path: Path) -> None:
    """Of 60 requests to a server that fails in one way, no more are sent than are in flight when ten have failed."""
    for place, (name, shape) in enumerate(SHAPES.items()):
        if shape.kind is None or shape.kind in FATAL:
            continue
        with serve(shape) as server:
            _, results = ask(server, tmp_path / f"{place}.jsonl", [asked(shape, number) for number in range(60)])
            assert len(server.requests) <= shape.sent * (10 + 16), name
        kinds = {result.kind for result in results if isinstance(result, Failure)}
        assert kinds <= {shape.kind, "no_progress"} and len(results) == 60, name


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.sent == 2 and shape.kind is None])
def test_ten_concurrent_first_requests_all_succeed(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each is sent before any has taught the client what the server takes; that is said once."""
    shape = SHAPES[name]
    with serve(shape) as server:
        server.latency = 0.02
        _, results = ask(server, tmp_path / "journal.jsonl", [asked(shape, number) for number in range(10)])
        assert [getattr(result, "text", result) for result in results] == [f"echo: question {n}" for n in range(10)]
        assert len(server.requests) <= 20 and len(caplog.records) == 1
        sent = len(server.requests)
        ask(server, tmp_path / "journal.jsonl", [asked(shape, number) for number in range(10)])
        assert len(server.requests) == sent


def test_a_server_that_refuses_one_parameter_after_the_other(tmp_path: Path) -> None:
    """Both names of the token limit, temperature and a penalty: none is asked for twice in a way that was refused."""

    def respond(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        for name in ("max_tokens", "max_completion_tokens", "temperature", "presence_penalty"):
            if name in body:
                error = {"message": f"Unsupported parameter: '{name}'", "param": name}
                return 400, {}, json.dumps({"error": error}).encode()
        return 200, {}, json.dumps(completion("yes")).encode()

    request = Request((Message("user", "?"),), temperature=0.2, max_tokens=9, extra={"presence_penalty": 1})
    with FakeOpenAI(respond=respond) as server:
        _, [result] = ask(server, tmp_path / "journal.jsonl", [request])
    assert isinstance(result, Reply) and len(server.requests) == 5


def test_a_server_that_refuses_whatever_is_sent_is_left_alone(tmp_path: Path) -> None:
    def respond(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        error = {"message": f"'{list(body)[-1]}' is not supported; 4096 > 10, maximum context length is 1 tokens"}
        return 400, {}, json.dumps({"error": error}).encode()

    with FakeOpenAI(respond=respond) as server:
        _, [result] = ask(server, tmp_path / "journal.jsonl", [Request((Message("user", "?"),), max_tokens=9)])
    assert isinstance(result, Failure) and result.kind == "bad_request" and len(server.requests) <= 8


def test_after_a_reply_one_forbidden_prompt_fails_alone(tmp_path: Path) -> None:
    def respond(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes] | None:
        if body["messages"][-1]["content"] == "question 3":
            return 403, {}, json.dumps({"error": {"message": "not for you"}}).encode()
        return None

    with FakeOpenAI(respond=respond) as server:
        requests = [asked(SHAPES["plain"], number) for number in range(6)]
        ask(server, tmp_path / "journal.jsonl", requests[:1])
        with ModelRun(OpenAIModel("fake", server.url), tmp_path / "j.jsonl", 1) as model:

            async def run() -> list[Reply | Failure]:
                return [await model.complete(request) for request in requests]

            results = model.run(run())
    kinds = [getattr(result, "kind", "reply") for result in results]
    assert kinds == ["reply", "reply", "reply", "bad_request", "reply", "reply"]


def test_thinking_is_kept_apart_and_log_probabilities_are_those_of_the_answer(tmp_path: Path) -> None:
    rivals = [{"token": "B", "logprob": -math.inf}, {"token": "\ud83d", "logprob": math.nan}]
    texts = ("<think>", "hm", "</think>", "\n", "A")
    tokens = [{"token": text, "logprob": -0.5, "top_logprobs": rivals} for text in texts]

    def respond(_: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        body = completion("<think>hm</think>\nA")
        body["choices"][0]["logprobs"] = {"content": tokens}
        return 200, {}, json.dumps(body).encode()

    with FakeOpenAI(respond=respond) as server:
        _, [result] = ask(server, tmp_path / "journal.jsonl", [asked(SHAPES["plain"])])
        _, [again] = ask(server, tmp_path / "journal.jsonl", [asked(SHAPES["plain"])])
    assert isinstance(result, Reply) and (result.text, result.reasoning) == ("A", "hm")
    assert result.top_logprobs == ({"B": -9999.0, "A": -0.5},) and again == result and len(server.requests) == 1
