"""JSON replies of any size that keep nobody waiting."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import Any

from fastapi.responses import Response, StreamingResponse

SLICE = 16  # items of a list that are written in one go: other threads wait meanwhile
BLOCK = 1 << 18  # bytes that are sent in one go


def json_parts(value: Any) -> Iterator[str]:
    """A value as JSON, in parts that are short where its lists are long.

    A list may be an iterator: its items are made, written and forgotten one by one, or a million of them would keep
    Python's collector busy, and with it all threads.
    """
    if isinstance(value, dict):
        yield "{"
        for place, (name, inside) in enumerate(value.items()):
            yield f"{', ' if place else ''}{_dump(name)}: "
            yield from json_parts(inside)
        yield "}"
    elif isinstance(value, list) and value and _holds_objects(value[0]):
        for place, inside in enumerate(value):
            yield ", " if place else "["
            yield from json_parts(inside)
        yield "]"
    elif isinstance(value, list | Iterator):
        items, begun = iter(value), False
        while some := list(islice(items, SLICE)):
            yield (", " if begun else "[") + _dump(some)[1:-1]
            begun = True
        yield "]" if begun else "[]"
    else:
        yield _dump(value)


def json_blocks(value: Any) -> list[bytes]:
    """A value as JSON, in blocks to be sent one after the other."""
    blocks, block, size = [], list[bytes](), 0
    for part in json_parts(value):
        block.append(part.encode())
        size += len(block[-1])
        if size >= BLOCK:
            blocks.append(b"".join(block))
            block, size = [], 0
    return [*blocks, b"".join(block)]


def json_response(blocks: list[bytes]) -> Response:
    """A reply of such blocks."""
    if len(blocks) == 1:
        return Response(blocks[0], media_type="application/json")
    length = str(sum(map(len, blocks)))
    return StreamingResponse(_each(blocks), media_type="application/json", headers={"content-length": length})


async def _each(blocks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


def _holds_objects(value: Any) -> bool:
    return isinstance(value, dict) and any(isinstance(inside, dict) for inside in value.values())


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
