"""The client against a server that misbehaves."""

import asyncio
import time
from collections import Counter
from contextlib import aclosing
from typing import Any

import pytest

from camelid.errors import UserError
from camelid.message import Message
from camelid.models.llm import Failure, Reply, Request, complete_in_order
from camelid.models.openai_api import ATTEMPTS, OpenAIModel
from tests.fake_openai import FakeOpenAI


def request(number: int = 0, **fields: Any) -> Request:
    return Request((Message("user", f"question {number}"),), sample=number, **fields)


def ask(server: FakeOpenAI, count: int, concurrency: int = 16, **options: Any) -> list[Reply | Failure]:
    async def run() -> list[Reply | Failure]:
        model = OpenAIModel("fake", server.url, concurrency, **{"first_wait": 0.01, **options})
        try:
            return await asyncio.gather(*(model.complete(request(number)) for number in range(count)))
        finally:
            await model.close()

    return asyncio.run(run())


def complete(model: OpenAIModel, asked: Request) -> Reply | Failure:
    async def run() -> Reply | Failure:
        try:
            return await model.complete(asked)
        finally:
            await model.close()

    return asyncio.run(run())


def test_answers_and_usage() -> None:
    with FakeOpenAI() as server:
        [reply] = ask(server, 1)
    assert isinstance(reply, Reply)
    assert (reply.text, reply.model, reply.finish_reason) == ("echo: question 0", "fake", "stop")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (2, 3)


def test_request_fields_reach_the_server() -> None:
    asked = request(temperature=0.5, top_p=0.9, max_tokens=7, stop=("\n",), seed=3, extra={"logprobs": True})
    with FakeOpenAI() as server:
        complete(OpenAIModel("fake", server.url), asked)
    assert server.requests == [
        {
            "model": "fake",
            "messages": [{"role": "user", "content": "question 0"}],
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 7,
            "stop": ["\n"],
            "seed": 3,
            "logprobs": True,
        }
    ]


def test_thirty_percent_faults_are_outlived() -> None:
    faults = {"429-after": 0.06, "429": 0.06, "500": 0.06, "reset": 0.04, "garbage": 0.04, "empty": 0.04}
    with FakeOpenAI(faults=faults) as server:
        replies = ask(server, 300)
    failures = [reply for reply in replies if isinstance(reply, Failure)]
    assert len(failures) <= 3  # 0.3 ** 6 of 300 is 0.2
    for number, reply in enumerate(replies):
        assert isinstance(reply, Failure) or reply.text == f"echo: question {number}"
    assert len(server.requests) > 350


@pytest.mark.parametrize(
    ("fault", "kind", "sent"),
    [
        ("401", "authentication", 1),
        ("quota", "quota", 1),
        ("500", "server", ATTEMPTS),
        ("429-after", "rate_limit", ATTEMPTS),
        ("empty", "malformed", ATTEMPTS),
        ("garbage", "malformed", ATTEMPTS),
        ("reset", "unreachable", ATTEMPTS),
    ],
)
def test_failures_are_typed_and_only_passing_ones_are_retried(fault: str, kind: str, sent: int) -> None:
    with FakeOpenAI(faults={fault: 1.0}) as server:
        [failure] = ask(server, 1)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.attempts, len(server.requests)) == (kind, sent, sent), failure


def test_timeout() -> None:
    with FakeOpenAI(faults={"slow": 1.0}) as server:
        [failure] = ask(server, 1, timeout=0.05, first_wait=0.001)
    assert isinstance(failure, Failure) and failure.kind == "timeout"


def test_nobody_listens() -> None:
    failure = complete(OpenAIModel("fake", "http://127.0.0.1:9/v1", first_wait=0.001), request())
    assert isinstance(failure, Failure) and failure.kind == "unreachable" and "127.0.0.1:9" in failure.detail


def test_a_run_ends_soon_where_nobody_has_ever_listened() -> None:
    async def run() -> list[Reply | Failure]:
        model = OpenAIModel("fake", "http://127.0.0.1:9/v1", 4, first_wait=0.001)
        try:
            requests = (request(number) for number in range(100))
            return [result async for _, result in complete_in_order(model, requests, 4)]
        finally:
            await model.close()

    results = asyncio.run(run())
    assert {result.kind for result in results if isinstance(result, Failure)} == {"unreachable"}
    assert sum(result.attempts for result in results if isinstance(result, Failure)) <= 4 * ATTEMPTS


def test_concurrency_is_bounded_and_used() -> None:
    with FakeOpenAI(latency=0.1) as server:
        started = time.monotonic()
        ask(server, 40, concurrency=10)
        elapsed = time.monotonic() - started
    assert 5 <= server.most_in_flight <= 10
    assert elapsed < 3


def test_order_is_kept_and_an_early_stop_sends_no_more() -> None:
    async def run(url: str) -> list[str]:
        texts = []
        endless = (request(number) for number in range(10**9))
        model = OpenAIModel("fake", url, 4)
        async with aclosing(complete_in_order(model, endless, 4)) as results:
            async for asked, reply in results:
                assert isinstance(reply, Reply) and reply.text == f"echo: {asked.messages[0].content}"
                texts.append(reply.text)
                if len(texts) == 10:
                    break
        await model.close()
        return texts

    with FakeOpenAI(latency=0.02) as server:
        texts = asyncio.run(run(server.url))
    assert texts == [f"echo: question {number}" for number in range(10)]
    assert 10 <= len(server.requests) <= 10 + 2 * 4
    assert len(server.requests) == len(server.answered)  # what was sent was awaited
    assert set(Counter(body["messages"][0]["content"] for body in server.requests).values()) == {1}


def test_no_key_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="no API key; set OPENAI_API_KEY"):
        OpenAIModel("gpt-4o-mini")
