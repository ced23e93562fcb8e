"""Records of published data sets and exports, as their cards show them, through `convert`."""

import json
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main

EXPORTS = Path(__file__).parents[1] / "exports"


def convert(source: Path, folder: Path, *options: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The conversations, and the ledger."""
    output = folder / "out.jsonl"
    main(["conversations", "convert", str(source), "--output", str(output), "--quiet", *options])
    ledger = json.loads(output.with_suffix(".ledger.json").read_text())
    return [json.loads(line) for line in output.read_text().splitlines()], ledger


def convert_records(folder: Path, *records: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    (folder / "in.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return convert(folder / "in.jsonl", folder)


def texts(chat: dict[str, Any]) -> list[str]:
    return [turn["content"] for turn in chat["messages"]]


def test_rows_of_many_data_sets(tmp_path: Path) -> None:
    chats, ledger = convert(EXPORTS.parent / "cases" / "rows_variants.jsonl", tmp_path)
    assert [texts(chat) for chat in chats] == [
        ["First q", "First a", "Second q", "Second a", "Continue the talk", "Third answer"],
        ["You are a pirate.", "Who are you?", "A pirate."],
        ["Which is a fish?\n\nTope or rope", "Tope"],
        ["You are terse.", "Colour of grass?", "Green."],
        ["How do I boil an egg?", "Put it in water.", "How long?", "Seven minutes."],
        ["How do I boil rice?", "With water."],
        ["tulu?", "yes"],
        ["capybara?", "a rodent"],
        ["Say hi", "hi"],
        ["TRL prompt", "done"],
        ["null input", "fine"],
        ["meta math?", "The answer is 4"],
        ["upper", "case"],
    ]
    assert chats[1]["messages"][0]["role"] == chats[3]["messages"][0]["role"] == "system"
    assert chats[2]["meta"] == {
        "instruction": "Which is a fish?",
        "input": "Tope or rope",
        "category": "classification",
    }
    assert ledger["ledgers"][0]["dropped"] == {"unreadable record": 2, "no exchange left": 1}
    raw_text, numeric = ledger["faults"]
    assert "raw text (field 'text')" in raw_text and "as 'messages'" in raw_text
    assert "field 'output' must be a string, found 42" in numeric


def test_a_claude_export(tmp_path: Path) -> None:
    [chat], _ = convert(EXPORTS / "claude.json", tmp_path)
    assert (chat["id"], texts(chat)) == ("u1", ["Hello Claude", "Hello!"])
    assert chat["messages"][1]["reasoning"] == "hm" and chat["meta"]["name"] == "Claude chat"
    assert "account" not in chat["meta"]


def test_what_a_claude_export_has_besides_text(tmp_path: Path) -> None:
    def said(sender: str, text: str, **fields: Any) -> dict[str, Any]:
        return {"uuid": text, "sender": sender, "text": text, "content": [{"type": "text", "text": text}], **fields}

    tool = [{"type": "text", "text": "see"}, {"type": "tool_use", "name": "artifacts", "input": {}}]
    chats, ledger = convert_records(
        tmp_path,
        {"uuid": "empty", "name": "", "chat_messages": []},
        {
            "uuid": "mixed",
            "chat_messages": [
                *(said("human", "plain"), said("assistant", "kept")),
                *(
                    said("human", "read this", attachments=[{"file_name": "a.pdf"}], files=[]),
                    said("assistant", "gone 1"),
                ),
                *(said("human", "and this", files_v2=[{"file_name": "b.png"}]), said("assistant", "gone 2")),
                *(said("human", "write it"), said("assistant", "gone 3", content=tool)),
                *(said("human", "stopped"), said("assistant", "", content=[])),
            ],
        },
    )
    assert [texts(chat) for chat in chats] == [["plain", "kept"]]
    conversations, turns = ledger["ledgers"]
    assert conversations["read"] == 2 and turns["read"] == 10
    reasons = turns["dropped"]
    assert reasons["exchange with an image, sound or file (attachments)"] == 4
    assert reasons["exchange that used a tool"] == 2
    assert turns["kept"] + sum(reasons.values()) == 10


def test_branches_of_a_claude_export_share_what_they_have_in_common(tmp_path: Path) -> None:
    def said(uuid: str, parent: str, sender: str) -> dict[str, Any]:
        return {"uuid": uuid, "parent_message_uuid": parent, "sender": sender, "text": uuid}

    root = "00000000-0000-4000-8000-000000000000"
    messages = [
        *(said("q1", root, "human"), said("a1", "q1", "assistant"), said("q2", "a1", "human")),
        *(said("a2", "q2", "assistant"), said("a2 again", "q2", "assistant"), said("q2 edited", "a1", "human")),
        said("a3", "q2 edited", "assistant"),
    ]
    record = {"uuid": "u", "chat_messages": messages, "current_leaf_message_uuid": "a2 again"}
    chats, _ = convert_records(tmp_path, record)
    assert {chat["id"]: texts(chat) for chat in chats} == {
        "u": ["q1", "a1", "q2", "a2 again"],
        "u/2": ["q1", "a1", "q2", "a2"],
        "u/3": ["q1", "a1", "q2 edited", "a3"],
    }
    trained = [turn["content"] for chat in chats for turn in chat["messages"][1::2] if turn.get("weight") != 0]
    assert trained == ["a1", "a2 again", "a2", "a3"]
    assert {chat["meta"]["tree"] for chat in chats} == {"u"}
    [chat], _ = convert(tmp_path / "in.jsonl", tmp_path, "--branches", "last")
    assert texts(chat) == ["q1", "a1", "q2", "a2 again"]
    record["chat_messages"][0]["parent_message_uuid"] = "a1"
    _, ledger = convert_records(tmp_path, record)
    assert "is its own ancestor" in ledger["faults"][0]


def test_anthropics_messages_keep_what_a_tool_gave(tmp_path: Path) -> None:
    [chat], ledger = convert(EXPORTS / "anthropic.jsonl", tmp_path)
    assert ledger["ledgers"][0]["read"] == 1 and not ledger["faults"]
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert chat["messages"][1:] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yo", "tool_calls": [call]},
        {"role": "tool", "content": "3", "tool_call_id": "t"},
        {"role": "assistant", "content": "It is 3"},
    ]


def test_anthropics_messages_lose_the_exchange_whose_tool_is_unknown_alone(tmp_path: Path) -> None:
    [record] = [json.loads(line) for line in (EXPORTS / "anthropic.jsonl").read_text().splitlines()]
    asked = {"role": "user", "content": [{"type": "text", "text": "And 2 + 2?"}]}
    record["messages"] += [asked, {"role": "assistant", "content": [{"type": "text", "text": "4"}]}]
    record["messages"][1]["content"][1]["type"] = "server_tool_use"
    [chat], ledger = convert_records(tmp_path, record)
    assert texts(chat) == ["S", "And 2 + 2?", "4"]
    assert ledger["ledgers"][1]["dropped"]["exchange that used a tool"] == 4


def test_only_the_completion_of_a_prompt_is_trained(tmp_path: Path) -> None:
    prompt = [
        {"role": "user", "content": "1?"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "2?"},
    ]
    [chat], _ = convert_records(tmp_path, {"prompt": prompt, "completion": [{"role": "assistant", "content": "two"}]})
    assert [(turn["content"], turn.get("weight")) for turn in chat["messages"]] == [
        ("1?", None), ("one", 0), ("2?", None), ("two", None),
    ]  # fmt: skip


def test_a_batch_request_keeps_what_was_asked_for(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "1?"}, {"role": "assistant", "content": "one"}]
    body = {"model": "gpt", "temperature": 0, "messages": [*messages, {"role": "user", "content": "2?"}]}
    request = {"custom_id": "r7", "method": "POST", "url": "/v1/chat/completions", "body": body}
    [chat], ledger = convert_records(tmp_path, request)
    assert (chat["id"], texts(chat), chat["meta"]) == ("r7", ["1?", "one"], {"model": "gpt", "temperature": 0})
    assert ledger["ledgers"][1]["dropped"] == {"user turn without an answer": 1}


def test_a_pair_says_more_than_question_and_answer(tmp_path: Path) -> None:
    pairs = [
        {"input": "1?", "output": "one", "score": 0.5, "train": False},
        {"input": "2?", "output": "<think>2</think>two"},
        {"input": "3?", "output": "three", "image": "3.png"},
    ]
    [chat], ledger = convert_records(tmp_path, {"conversation": pairs})
    assert texts(chat) == ["1?", "one", "2?", "two"]
    assert chat["messages"][1] == {"role": "assistant", "content": "one", "weight": 0.0, "meta": {"score": 0.5}}
    assert chat["messages"][3]["reasoning"] == "2"
    assert ledger["ledgers"][0]["set_aside"] == {"conversation[].score": 1}
    assert ledger["ledgers"][1]["dropped"] == {"exchange with an image, sound or file (image)": 2}


@pytest.mark.parametrize(
    "record",
    [
        {"question_id": "1", "model_a": "x", "model_b": "y", "winner": "model_a",
         "conversation_a": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "good"}],
         "conversation_b": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "bad"}]},
        {"prompt": "Hi", "response_a": "good", "response_b": "bad", "winner_model_a": 1},
        {"question": "Hi", "response_j": "good", "response_k": "bad"},
        {"history": "Hi", "human_ref_A": "good", "human_ref_B": "bad", "labels": 1},
        {"instruction": "Hi", "input": "", "output_1": "good", "output_2": "bad", "preference": 1},
    ],
)  # fmt: skip
def test_two_answers_side_by_side_are_preference_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record: dict[str, Any]
) -> None:
    chats, ledger = convert_records(tmp_path, record)
    assert not chats and "preference data" in ledger["faults"][0]
    assert "in.jsonl:1: preference data" in capsys.readouterr().err
