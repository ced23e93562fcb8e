"""The official client; see `test_clients`."""

import sys

import openai
from expected import SCHEMA, TOOL, report

client = openai.OpenAI(base_url=sys.argv[1], api_key="none")
question = [{"role": "user", "content": "Rome?"}]
chat = client.chat.completions.create(model="calling", messages=question, temperature=0).choices[0].message.content
pieces = client.chat.completions.create(model="calling", messages=question, temperature=0, stream=True)
stream = "".join(piece.choices[0].delta.content or "" for piece in pieces)
asked = client.chat.completions.create(model="calling", messages=question, temperature=0, tools=[TOOL])
call = asked.choices[0].message.tool_calls[0].function
form = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
schema = client.chat.completions.create(model="calling", messages=question, response_format=form)
report(chat, stream, call.name, call.arguments, schema.choices[0].message.content)
