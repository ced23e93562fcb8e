"""litellm; see `test_clients`."""

import sys

import litellm
from expected import SCHEMA, TOOL, report

ask = {"model": "openai/calling", "api_base": sys.argv[1], "api_key": "none", "temperature": 0}
ask["messages"] = [{"role": "user", "content": "Rome?"}]
chat = litellm.completion(**ask).choices[0].message.content
stream = "".join(piece.choices[0].delta.content or "" for piece in litellm.completion(**ask, stream=True))
call = litellm.completion(**ask, tools=[TOOL]).choices[0].message.tool_calls[0].function
form = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
schema = litellm.completion(**{**ask, "temperature": 1}, response_format=form).choices[0].message.content
report(chat, stream, call.name, call.arguments, schema)
