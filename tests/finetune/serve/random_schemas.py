"""JSON schemas at random, with bounded lengths and arrays: all keywords that the server keeps to."""

import random
from typing import Any

WORDS = ["red", "cat", "a b", 'qu"ote', "é", "back\\slash", "", "true", "0"]


def random_schema(rng: random.Random, depth: int = 2) -> dict[str, Any]:
    """A schema whose shortest values have some dozens of characters at most."""
    kinds = [_string, _number, _choice, _plain]
    if depth:
        kinds += [_array, _object, _object, _several]
    schema = rng.choice(kinds)(rng, depth)
    if rng.random() < 0.1:
        schema["description"] = "of no consequence"
    return schema


def _plain(rng: random.Random, depth: int) -> dict[str, Any]:
    return {"type": rng.choice(["boolean", "null", ["boolean", "null"]])}


def _choice(rng: random.Random, depth: int) -> dict[str, Any]:
    values: list[Any] = [*rng.sample(WORDS, rng.randint(1, 3)), rng.randint(-5, 99), None]
    return rng.choice([{"enum": values}, {"const": rng.choice(values)}])


def _string(rng: random.Random, depth: int) -> dict[str, Any]:
    low = rng.randint(0, 3)
    shape: dict[str, Any] = rng.choice(
        [
            {"minLength": low, "maxLength": low + rng.randint(0, 6)},
            {"maxLength": rng.randint(0, 8)},
            {"pattern": rng.choice(["^[a-c]{1,4}$", "^(red|cat)s?$", r"^\d{2}-\d{2}$", "^[^a-z]{2}$"])},
            {"format": rng.choice(["date", "uuid", "ipv4"])},
        ]
    )
    return {"type": "string", **shape}


def _number(rng: random.Random, depth: int) -> dict[str, Any]:
    kind, low = rng.choice(["integer", "number"]), rng.randint(-50, 50)
    shape = rng.choice(
        [
            {"minimum": low, "maximum": low + rng.randint(0, 90)},
            {"exclusiveMinimum": low, "exclusiveMaximum": low + rng.randint(2, 30)},
            {"minimum": 0, "maximum": 100, "multipleOf": rng.choice([2, 5, 7])},
        ]
    )
    return {"type": kind, **shape}


def _array(rng: random.Random, depth: int) -> dict[str, Any]:
    low = rng.randint(0, 2)
    if rng.random() < 0.3:
        items = [random_schema(rng, depth - 1) for _ in range(rng.randint(1, 2))]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    return {
        "type": "array",
        "items": random_schema(rng, depth - 1),
        "minItems": low,
        "maxItems": low + rng.randint(0, 2),
    }


def _object(rng: random.Random, depth: int) -> dict[str, Any]:
    names = rng.sample(["name", "age", "a b", "x", "é"], rng.randint(1, 3))
    required = rng.sample(names, rng.randint(0, len(names)))
    properties = {name: random_schema(rng, depth - 1) for name in names}
    shape: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    if rng.random() < 0.2:
        definitions = {"thing": random_schema(rng, 0)}
        properties[names[0]] = {"$ref": "#/$defs/thing"}
        shape |= {"$defs": definitions} if depth == 2 else {"properties": {names[0]: definitions["thing"]}}
        shape["required"] = [name for name in required if name in shape["properties"]]
    return {**shape, "additionalProperties": False}


def _several(rng: random.Random, depth: int) -> dict[str, Any]:
    return {"anyOf": [random_schema(rng, depth - 1), random_schema(rng, 0)]}
