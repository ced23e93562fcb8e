"""langchain-openai; see `test_clients`."""

import json
import sys

from expected import SCHEMA, TOOL, report
from langchain_openai import ChatOpenAI

model = ChatOpenAI(base_url=sys.argv[1], api_key="none", model="calling", temperature=0)
chat = model.invoke("Rome?").content
stream = "".join(piece.content for piece in model.stream("Rome?"))
call = model.bind_tools([TOOL]).invoke("Rome?").tool_calls[0]
schema = model.with_structured_output({"title": "person", **SCHEMA}, method="json_schema").invoke("Rome?")
report(chat, stream, call["name"], json.dumps(call["args"]), json.dumps(schema))
