"""Conversations that try to break the page of a set, and what stands in such a page."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

from camelid.message import Conversation, Message

HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'> </script> <!-- \n"
    "[a](javascript:window.hacked=3) ![b](https://example.org/x.png) ]]> &lt;b&gt; </pre> \u2028 {{ 7 * 7 }}"
)


def some_conversations(count: int = 24) -> list[Conversation]:
    """Of three sources, two languages, several shapes; with scores, weights, thoughts; hostile in every field."""
    german = "Das Kamel läuft durch die Wüste und sucht ein wenig Wasser, bevor die Sonne untergeht."
    english = "The camel walks through the desert and looks for a little water before the sun goes down."
    found = []
    for place in range(count):
        text = german if place % 3 == 0 else english
        turns = [
            Message("user", f"{text} Number {place}?"),
            Message("assistant", f"{text} It is {place}." * (1 + place)),
        ]
        if place % 4 == 1:
            turns = [Message("system", "Be brief."), *turns]
        if place % 6 == 2:
            turns += [Message("user", "And then?"), Message("assistant", "Nothing **more**.", weight=0)]
        meta: dict[str, Any] = {"source": f"set {place % 3}", "scores": {"quality": place / 4}}
        if place % 5 == 0:
            del meta["scores"]
        found.append(Conversation(f"c{place}", tuple(turns), meta))
    turns = [
        Message("user", HOSTILE),
        Message("assistant", HOSTILE, 0.5, reasoning=HOSTILE, truncated=True, meta={HOSTILE: HOSTILE}),
    ]
    found.append(Conversation(HOSTILE, tuple(turns), {"source": HOSTILE, "scores": {HOSTILE: 1.0}, HOSTILE: [HOSTILE]}))
    return found


def unpacked(page: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A page's index, and what it has of each conversation."""
    text = page.read_text(encoding="utf-8")
    [index] = re.findall(r'<script type="text/plain" id="index">([^<]*)</script>', text)
    blocks = re.findall(r'<script type="text/plain" id="block-\d+">([^<]*)</script>', text)
    details = [one for block in blocks for one in _unpack(block)]
    return _unpack(index), details


def _unpack(packed: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(packed)))
