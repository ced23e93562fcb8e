"""OpenAssistant's trees, whole and row by row."""

import json
from pathlib import Path
from typing import Any

import pytest

from camelid.errors import UserError
from conversations.formats.readers import read_chats, scan_chats
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


def reply(name: str, *replies: Any, **more: Any) -> dict[str, Any]:
    role = "prompter" if name[0] == "q" else "assistant"
    return {"message_id": name, "role": role, "text": name, "replies": list(replies), **more}


@pytest.mark.parametrize(
    "bad",
    [
        {"review_result": False},
        {"deleted": True},
        {"labels": {"spam": {"value": 0.75, "count": 4}}},
        {"labels": {"name": ["quality", "spam"], "value": [0.1, 1.0], "count": [3, 3]}},
    ],
)
def test_what_openassistant_rejected_is_lost_with_its_exchange(bad: dict[str, Any]) -> None:
    good = {
        "review_result": True,
        "deleted": False,
        "labels": {"spam": {"value": 0.25}},
        "tree_state": "ready_for_export",
    }
    tree = {"message_tree_id": "t", "prompt": reply("q", reply("bad", rank=0, **bad), reply("good", rank=1, **good))}
    read = [(name, turns) for name, turns, _ in chats(tree)]
    assert read == [("t", ["u: q", "a: good"]), ("t/2", [])]
    [(_, turns, lost)] = chats(tree, "last")
    assert turns == ["u: q", "a: good"] and not lost
    [(_, turns, lost)] = chats({"message_tree_id": "t", "prompt": reply("q", reply("bad", **bad))})
    assert not turns and sum(lost.values()) == 2


def test_a_tree_that_is_not_ready_is_lost_whole() -> None:
    for record in (
        {"tree_state": "growing", "prompt": reply("q", reply("a"))},
        {"prompt": reply("q", reply("a", tree_state="growing"), tree_state="growing")},
    ):
        assert chats(record) == [("PLACE", [], {"turn of a tree in the state 'growing'": 2})]


def test_an_answer_in_several_branches_is_trained_once() -> None:
    tree = {"message_tree_id": "t", "prompt": reply("q", reply("a", reply("q1", reply("b")), reply("q2", reply("c"))))}
    first, second = (chat.conversation.messages for chat in read_chats(tree, "PLACE"))
    assert [m.weight for m in first] == [None] * 4 and [m.weight for m in second] == [None, 0.0, None, None]


def test_the_rest_of_a_message_is_kept() -> None:
    tree = {"prompt": reply("q", reply("a", synthetic=True, model_name="m", user_id="u", review_count=3), lang="de")}
    [chat] = read_chats(tree, "PLACE")
    assert chat.conversation.messages[1].meta == {"synthetic": True, "model_name": "m"}
    assert chat.set_aside == {"prompt.lang": 1, "prompt.synthetic": 1, "prompt.model_name": 1}
