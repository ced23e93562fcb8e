"""Calls of tools in each way data sets write them: one record comes of them all."""

import json
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.message import Conversation

NAME, ARGUMENTS, GIVEN = "weather", {"city": "Rome", "days": [1, 2.5], "note": 'a "b"'}, '{"sky": "clear"}'
FUNCTION = {"name": NAME, "description": "Of a city.", "parameters": {"type": "object", "properties": {"city": {}}}}
CALL = json.dumps({"name": NAME, "arguments": ARGUMENTS})
ASKED, SAID = "Rome?", "It is clear."
HERMES = f"<tool_call>\n{CALL}\n</tool_call>"


def openai(call: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    turns = [("user", ASKED), ("assistant", None), ("tool", GIVEN), ("assistant", SAID)]
    messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in turns]
    messages[1] |= call
    messages[2] |= result
    return {"messages": messages}


def sharegpt(call: tuple[str, str], result: tuple[str, str]) -> dict[str, Any]:
    turns = [("human", ASKED), call, result, ("gpt", SAID)]
    return {"conversations": [{"from": who, "value": text} for who, text in turns]}


SCHEMAS = [{"type": "function", "function": FUNCTION}]
CALLED = {"id": "c1", "type": "function", "function": {"name": NAME, "arguments": json.dumps(ARGUMENTS)}}
RECORDS: dict[str, tuple[dict[str, Any], str | None]] = {  # each with the id that the call keeps
    "openai": (openai({"tool_calls": [CALLED]}, {"tool_call_id": "c1"}) | {"tools": SCHEMAS}, "c1"),
    "openai, arguments as an object": (
        openai(
            {"tool_calls": [{"id": "c1", "function": {"name": NAME, "arguments": ARGUMENTS}}]},
            {"tool_call_id": "c1", "content": json.loads(GIVEN)},
        )
        | {"tools": json.dumps(SCHEMAS)},
        "c1",
    ),
    "openai, before tools": (
        openai(
            {"function_call": {"name": NAME, "arguments": json.dumps(ARGUMENTS)}}, {"role": "function", "name": NAME}
        )
        | {"functions": [FUNCTION]},
        None,
    ),
    "llama-factory": (
        sharegpt(("function_call", CALL), ("observation", GIVEN)) | {"tools": json.dumps([FUNCTION])},
        None,
    ),
    "hermes": (
        sharegpt(("gpt", HERMES), ("tool", f"<tool_response>\n{GIVEN}\n</tool_response>")) | {"tools": SCHEMAS},
        None,
    ),
    "hermes, as Python writes it": (
        sharegpt(("gpt", f"<tool_call>\n{json.loads(CALL)}\n</tool_call>"), ("tool", GIVEN)) | {"tools": SCHEMAS},
        None,
    ),
    "anthropic": (
        {
            "messages": [
                {"role": "user", "content": ASKED},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "c1", "name": NAME, "input": ARGUMENTS}],
                },
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": GIVEN}]},
                {"role": "assistant", "content": [{"type": "text", "text": SAID}]},
            ],
            "tools": [{"name": NAME, "description": FUNCTION["description"], "input_schema": FUNCTION["parameters"]}],
        },
        "c1",
    ),
}


def convert(folder: Path, record: dict[str, Any], *options: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    source, output = folder / "in.jsonl", folder / "out.jsonl"
    source.write_text(json.dumps(record) + "\n")
    main(["conversations", "convert", str(source), "--output", str(output), "--quiet", *options])
    ledger = json.loads((folder / "out.ledger.json").read_text())
    return [json.loads(line) for line in output.read_text().splitlines()], ledger


@pytest.mark.parametrize("name", RECORDS)
def test_one_record_comes_of_every_way_to_write_a_call(tmp_path: Path, name: str) -> None:
    source, called = RECORDS[name]
    [chat], ledger = convert(tmp_path, source)
    assert ledger["ledgers"][1]["kept"] == 4 and not ledger["ledgers"][1]["dropped"]
    named = {} if called is None else {"id": called}
    answers = {} if called is None else {"tool_call_id": called}
    [call] = chat["messages"][1].pop("tool_calls")
    assert json.loads(call["function"].pop("arguments")) == ARGUMENTS
    assert call == {**named, "type": "function", "function": {"name": NAME}}
    chat["messages"][2].pop("meta", None)
    given = chat["messages"][2].pop("content")
    assert json.loads(given) == json.loads(GIVEN)
    assert chat["messages"] == [
        {"role": "user", "content": ASKED},
        {"role": "assistant", "content": ""},
        {"role": "tool", **answers},
        {"role": "assistant", "content": SAID},
    ]
    assert chat["tools"] == SCHEMAS


@pytest.mark.parametrize("name", RECORDS)
def test_what_is_written_reads_back_unchanged(tmp_path: Path, name: str) -> None:
    [chat], _ = convert(tmp_path, RECORDS[name][0])
    assert convert(tmp_path, chat)[0] == [chat]
    assert Conversation.from_json(chat, "x").to_json() == chat


def test_several_calls_and_results_in_a_turn(tmp_path: Path) -> None:
    first, second = (HERMES.replace("Rome", city) for city in ("Rome", "Oslo"))
    given = "<tool_response>\n1\n</tool_response>\n<tool_response>\n2\n</tool_response>"
    [chat], _ = convert(tmp_path, sharegpt(("gpt", f"Let me see.\n{first}\n{second}"), ("tool", given)))
    roles = [(one["role"], one["content"]) for one in chat["messages"]]
    assert roles == [("user", ASKED), ("assistant", "Let me see."), ("tool", "1"), ("tool", "2"), ("assistant", SAID)]
    assert ["Oslo" in call["function"]["arguments"] for call in chat["messages"][1]["tool_calls"]] == [False, True]


def test_chats_that_differ_in_their_calls_alone_are_no_repeats(tmp_path: Path) -> None:
    record = RECORDS["hermes"][0]
    other = json.loads(json.dumps(record).replace("Rome\\\\\\", "Oslo\\\\\\"))
    other["conversations"][1]["value"] = HERMES.replace("Rome", "Oslo")
    source = tmp_path / "both.jsonl"
    source.write_text("".join(json.dumps(one) + "\n" for one in (record, other, record)))
    assert main(["conversations", "convert", str(source), "--output", str(tmp_path / "out"), "--quiet"]) == 0
    assert len((tmp_path / "out").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("call", "result", "reason"),
    [
        (("gpt", "<tool_call>\nsearch()\n</tool_call>"), ("tool", GIVEN), "exchange that used a tool"),
        (("gpt", f"{HERMES}\nThere."), ("tool", GIVEN), "exchange that used a tool"),
        (("function_call", '{"arguments": {}}'), ("tool", GIVEN), "exchange that used a tool"),
        (("gpt", "Wait."), ("tool", GIVEN), "exchange with what a tool gave that nobody called"),
    ],
)
def test_what_cannot_be_read_is_lost_and_counted(
    tmp_path: Path, call: tuple[str, str], result: tuple[str, str], reason: str
) -> None:
    record = sharegpt(call, result)
    record["conversations"] = [
        {"from": "human", "value": "Hi"},
        {"from": "gpt", "value": "Hello."},
        *record["conversations"],
    ]
    [chat], ledger = convert(tmp_path, record)
    assert [one["content"] for one in chat["messages"]] == ["Hi", "Hello."]
    assert ledger["ledgers"][1]["dropped"] == {reason: 4}


def test_a_call_that_nothing_follows_is_an_answer(tmp_path: Path) -> None:
    record = sharegpt(("gpt", HERMES), ("tool", GIVEN))
    del record["conversations"][3]
    [chat], ledger = convert(tmp_path, record)
    assert [one["role"] for one in chat["messages"]] == ["user", "assistant"]
    assert ledger["ledgers"][1]["dropped"] == {"tool's turn without an answer to it": 1}


def test_personal_data_in_arguments_is_scrubbed(tmp_path: Path) -> None:
    record = sharegpt(("gpt", HERMES.replace("Rome", "ann@mail.com")), ("tool", GIVEN))
    [chat], ledger = convert(tmp_path, record, "--scrub")
    assert ledger["ledgers"][1]["repaired"] == {"[EMAIL] put for personal data": 1}
    assert json.loads(chat["messages"][1]["tool_calls"][0]["function"]["arguments"])["city"] == "[EMAIL]"


def test_tools_that_the_system_message_spells_out_are_not_written_twice(tmp_path: Path) -> None:
    record = RECORDS["hermes"][0]
    told = {"from": "system", "value": f"You may call <tools>{json.dumps(SCHEMAS)}</tools>."}
    [chat], _ = convert(tmp_path, {**record, "conversations": [told, *record["conversations"]]})
    assert "tools" not in chat and chat["messages"][0]["content"] == told["value"]


def test_bad_calls_in_our_own_record_are_an_error_with_its_place() -> None:
    call = {"function": {"name": "f", "arguments": "[1]"}}
    with pytest.raises(Exception, match=r"x: messages\[0\]\.tool_calls\[0\]\.arguments must be a JSON object"):
        Conversation.from_json({"messages": [{"role": "assistant", "content": "", "tool_calls": [call]}]}, "x")
    with pytest.raises(Exception, match=r"x: tools\[0\] must be a function with a 'name'"):
        Conversation.from_json({"messages": [{"role": "user", "content": ""}], "tools": [{}]}, "x")
