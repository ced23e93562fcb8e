"""What the scripts ask for, and how they say what they got."""

import json

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Of a city.", "parameters": PARAMETERS}}


def report(chat: str, stream: str, function: str, arguments: str, schema: str) -> None:
    """Print it, last."""
    print(json.dumps([chat, stream, function, json.loads(arguments), json.loads(schema)]))
