"""pydantic-ai; see `test_clients`."""

import asyncio
import json
import sys
from typing import Annotated

from expected import report
from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class Person(BaseModel):
    name: Annotated[str, Field(max_length=6)]
    age: Annotated[int, Field(ge=0, le=120)]


model = OpenAIChatModel("calling", provider=OpenAIProvider(base_url=sys.argv[1], api_key="none"))
cold = {"temperature": 0.0}
called = []
agent = Agent(model, model_settings=cold)
caller = Agent(model, model_settings=cold)


@caller.tool_plain
def weather(city: str) -> str:
    """Of a city."""
    called.append({"city": city})
    return "sunny"


async def stream() -> str:
    async with agent.run_stream("Rome?") as result:
        return "".join([piece async for piece in result.stream_text(delta=True)])


chat = agent.run_sync("Rome?").output
assert caller.run_sync("Rome?").output == "It is sunny."
person = Agent(model, output_type=NativeOutput(Person)).run_sync("Rome?").output
report(chat, asyncio.run(stream()), "weather", json.dumps(called[0]), person.model_dump_json())
