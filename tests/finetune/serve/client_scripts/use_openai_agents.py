"""openai-agents, over `/v1/responses`, which it uses by itself, and over chats; see `test_clients`."""

import asyncio
import json
import sys
from typing import Annotated

import openai
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from expected import report
from pydantic import BaseModel, Field

set_tracing_disabled(True)
client = openai.AsyncOpenAI(base_url=sys.argv[1], api_key="none")
cold, called = ModelSettings(temperature=0), []


class Person(BaseModel):
    name: Annotated[str, Field(max_length=6)]
    age: Annotated[int, Field(ge=0, le=120)]


@function_tool
def weather(city: str) -> str:
    """Of a city."""
    called.append({"city": city})
    return "sunny"


async def main(kind):
    model = kind("calling", openai_client=client)
    chat = (await Runner.run(Agent(name="a", model=model, model_settings=cold), "Rome?")).final_output
    running = Runner.run_streamed(Agent(name="a", model=model, model_settings=cold), "Rome?")
    pieces = [event.data async for event in running.stream_events() if event.type == "raw_response_event"]
    stream = "".join(piece.delta for piece in pieces if piece.type == "response.output_text.delta")
    caller = Agent(name="a", model=model, model_settings=cold, tools=[weather])
    assert (await Runner.run(caller, "Rome?")).final_output == "It is sunny."
    person = (await Runner.run(Agent(name="a", model=model, output_type=Person), "Rome?")).final_output
    return chat, stream, "weather", json.dumps(called.pop()), person.model_dump_json()


first = asyncio.run(main(OpenAIResponsesModel))
client = openai.AsyncOpenAI(base_url=sys.argv[1], api_key="none")
assert asyncio.run(main(OpenAIChatCompletionsModel))[:4] == first[:4]
report(*first)
