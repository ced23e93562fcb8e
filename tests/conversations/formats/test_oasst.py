"""OpenAssistant's trees, whole and row by row."""

import json
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from conversations.formats.readers import scan_chats
from tests.conversations.formats.message_trees import chats


def test_oasst_trees_and_rows(tmp_path: Path) -> None:
    def reply(name: str, rank: int | None, *replies: Any) -> Any:
        role = "prompter" if name in "qr" else "assistant"
        return {"message_id": name, "role": role, "text": name, "rank": rank, "replies": list(replies)}

    tree = {
        "message_tree_id": "t",
        "prompt": reply("q", None, reply("a", 1), reply("b", 0, reply("r", None, reply("c", 0)))),
    }
    best = ("t", ["u: q", "a: b", "u: r", "a: c"], {})
    assert chats(tree) == [best, ("t/2", ["u: q", "a: a"], {})]
    assert chats(tree, "last") == [best]

    def rows(item: Any, parent: str | None) -> Any:
        yield {**item, "replies": None, "parent_id": parent, "message_tree_id": "t"}
        for child in item["replies"]:
            yield from rows(child, item["message_id"])

    path = tmp_path / "rows.jsonl"
    alone = {**next(rows(reply("q", None), None)), "message_tree_id": "u"}
    orphan = {**next(rows(reply("z", None), "gone")), "message_tree_id": "u"}
    path.write_text("\n".join(json.dumps(row) for row in [*rows(tree["prompt"], None), alone, orphan]))
    first, second, third = (record for _, record in scan_chats(path))
    assert chats(first) == [best, ("t/2", ["u: q", "a: a"], {})]
    assert isinstance(second, UserError) and "rows.jsonl:7: parent 'gone' is not beside it" in str(second)
    assert chats(third) == [("u", ["u: q"], {})]
