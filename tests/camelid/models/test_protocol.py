"""Where requests go: the addresses that users have at hand, Azure's among them."""

import asyncio
from typing import Any

import pytest

from camelid.errors import UserError
from camelid.message import Message
from camelid.models.llm import Reply, Request
from camelid.models.openai_api import OpenAIModel
from camelid.models.protocol import connect
from tests.fake_openai import FakeOpenAI

CHAT = "/chat/completions"
VERSION = "?api-version=2024-10-21"
# What is written behind --base-url, and where the request must go (for Azure:
# learn.microsoft.com/azure/ai-services/openai/reference).
ADDRESSES = {
    "/v1": f"/v1{CHAT}",
    "/v1/": f"/v1{CHAT}",
    f"/v1{CHAT}": f"/v1{CHAT}",
    "/v1?key=a": f"/v1{CHAT}?key=a",
    f"/{VERSION}": f"/openai/deployments/fake{CHAT}{VERSION}",
    f"/openai{VERSION}": f"/openai/deployments/fake{CHAT}{VERSION}",
    f"/openai/deployments/mine{VERSION}": f"/openai/deployments/mine{CHAT}{VERSION}",
    f"/openai/deployments/mine{CHAT}{VERSION}": f"/openai/deployments/mine{CHAT}{VERSION}",
}


def ask(server: FakeOpenAI, address: str) -> Any:
    async def run() -> Any:
        model = OpenAIModel("fake", server.url.removesuffix("/v1") + address)
        try:
            return await model.complete(Request((Message("user", "hello"),)))
        finally:
            await model.close()

    return asyncio.run(run())


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "azure's")
    monkeypatch.setenv("OPENAI_API_KEY", "openai's")
    with FakeOpenAI() as server:
        assert isinstance(ask(server, address), Reply)
        [(target, headers)] = server.heads
    assert target == ADDRESSES[address]
    if VERSION in address:
        assert headers["api-key"] == "azure's" and "authorization" not in headers
    else:
        assert headers["authorization"] == "Bearer openai's"


def test_the_environment_may_say_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    monkeypatch.setenv("OPENAI_API_KEY", "k")

    async def kind(address: str) -> str:
        async with connect("m", address) as client:
            return type(client).__name__

    assert asyncio.run(kind("https://name.openai.azure.com/openai")) == "AsyncAzureOpenAI"
    assert asyncio.run(kind("https://name.openai.azure.com/openai/v1")) == "AsyncOpenAI"
    assert asyncio.run(kind("http://localhost:8000/v1")) == "AsyncOpenAI"


def test_no_address() -> None:
    with pytest.raises(UserError, match="must begin with http"):
        connect("m", "localhost:8000")
