"""inspect_ai; see `test_clients`. It has no stream of pieces for its users, so its stream is its chat."""

import asyncio
import json
import sys

from expected import SCHEMA, report
from inspect_ai.model import ChatMessageUser, GenerateConfig, ResponseSchema, get_model
from inspect_ai.tool import ToolInfo, ToolParams
from inspect_ai.util import JSONSchema


async def main():
    model = get_model("openai-api/camelid/calling", base_url=sys.argv[1], api_key="none")
    cold, question = GenerateConfig(temperature=0), [ChatMessageUser(content="Rome?")]
    chat = (await model.generate(question, config=cold)).completion
    streaming = get_model("openai-api/camelid/calling", base_url=sys.argv[1], api_key="none", stream=True)
    stream = (await streaming.generate(question, config=cold)).completion
    city = ToolParams(properties={"city": JSONSchema(type="string")}, required=["city"])
    info = ToolInfo(name="weather", description="Of a city.", parameters=city)
    call = (await model.generate(question, tools=[info], config=cold)).message.tool_calls[0]
    form = ResponseSchema(name="person", json_schema=JSONSchema(**SCHEMA), strict=True)
    schema = (await model.generate(question, config=GenerateConfig(response_schema=form))).completion
    report(chat, stream, call.function, json.dumps(call.arguments), schema)


asyncio.run(main())
