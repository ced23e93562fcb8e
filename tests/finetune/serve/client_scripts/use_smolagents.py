"""smolagents; see `test_clients`."""

import json
import sys

from expected import SCHEMA, report
from smolagents import OpenAIModel, tool


@tool
def weather(city: str) -> str:
    """Of a city.

    Args:
        city: its name.
    """
    return "sunny"


model = OpenAIModel("calling", api_base=sys.argv[1], api_key="none", temperature=0)
question = [{"role": "user", "content": [{"type": "text", "text": "Rome?"}]}]
chat = model.generate(question).content
stream = "".join(piece.content or "" for piece in model.generate_stream(question))
call = model.generate(question, tools_to_call_from=[weather]).tool_calls[0].function
arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
form = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
report(chat, stream, call.name, arguments, model.generate(question, response_format=form).content)
