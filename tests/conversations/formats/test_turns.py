"""Turns with more than a speaker and a text, and what stands beside them."""

from typing import Any

import pytest

from camelid.errors import UserError
from camelid.message import Message
from conversations.formats.chat import Chat
from conversations.formats.readers import read_chats
from tests.conversations.formats.message_trees import chats

USER = {"role": "user", "content": "hi"}


def read(*messages: dict[str, Any], **beside: Any) -> Chat:
    [chat] = read_chats({"messages": list(messages), **beside}, "PLACE")
    return chat


def answer(**fields: Any) -> Message:
    """What a reader makes of an assistant's turn."""
    return read(USER, {"role": "assistant", **fields}).conversation.messages[1]


def parts(*items: Any) -> Message:
    return answer(content=list(items))


@pytest.mark.parametrize(
    ("fields", "weight"),
    [
        ({"weight": 0.5}, 0.5),
        ({"loss_weight": 0}, 0),
        ({"train": False}, 0),
        ({"training": True}, 1),
        ({"train": 0.25}, 0.25),
        ({"weight": 1, "train": False}, 0),
        ({"weight": None, "train": None}, None),
        ({"weight": 0.5, "loss_weight": 0.25, "training": True}, 0.25),
    ],
)
def test_weights(fields: dict[str, Any], weight: float | None) -> None:
    text = {"type": "text", "text": "yes"}
    assert answer(content="yes", **fields) == Message("assistant", "yes", weight)
    assert parts({**text, **fields}, text) == Message("assistant", "yesyes", weight)
    beside = read(USER, {"role": "assistant", "content": "yes"}, **fields).conversation.messages
    assert beside == (Message("user", "hi"), Message("assistant", "yes", weight))


def test_the_smallest_of_all_weights_counts() -> None:
    text = {"type": "text", "text": "yes"}
    turn = {"role": "assistant", "content": [{**text, "weight": 0.75}, {**text, "train": 0.5}], "weight": 1}
    chat = read(USER, turn, {**turn, "content": [text, {**text, "weight": 1}]})
    assert [message.weight for message in chat.conversation.messages] == [None, 0.5, 1]
    assert chat.repaired == {"smallest weight of its parts taken for the whole turn": 1}
    turn = {"role": "assistant", "content": "yes", "weight": 0.25}
    assert read(USER, turn, weight=0.5).conversation.messages[1].weight == 0.25


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weight": 5}, "must be a number from 0 to 1, found 5"),
        ({"loss_weight": -1}, "must be a number from 0 to 1, found -1"),
        ({"weight": True}, "must be a number from 0 to 1, found True"),
        ({"weight": float("nan")}, "must be a number from 0 to 1, found nan"),
        ({"train": 2}, "must be a number from 0 to 1, found 2"),
        ({"training": "false"}, "must be true or false, found 'false'"),
    ],
)
def test_weights_out_of_range(wrong: dict[str, Any], message: str) -> None:
    [name] = wrong
    with pytest.raises(UserError, match=rf"^PLACE: messages\[1\]\.{name} {message}"):
        answer(content="yes", **wrong)
    with pytest.raises(UserError, match=rf"^PLACE: messages\[1\]\.content\[0\]\.{name} {message}"):
        parts({"text": "yes", **wrong})
    if wrong[name] != wrong[name]:
        return  # with NaN a table of numbers fills what a row lacks
    with pytest.raises(UserError, match=rf"^PLACE: field {name} {message}"):
        read(USER, {"role": "assistant", "content": "yes"}, **wrong)


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({"content": "9", "reasoning_content": "three threes"}, "three threes"),
        ({"content": "9", "reasoning": "three threes"}, "three threes"),
        ({"content": "9", "thinking": "three threes"}, "three threes"),
        ({"content": "<think>\nthree threes\n</think>\n\n9"}, "three threes"),
        ({"content": " <thinking>three threes</thinking>9"}, "three threes"),
        ({"content": "<think>\n\n</think>\n\n9"}, None),
        ({"content": "three threes\n</think>\n\n9"}, "three threes"),  # the template opened it
        ({"content": "<THINK>three threes</THINK>9"}, "three threes"),
        ({"content": "[THINK]three threes[/THINK]9"}, "three threes"),
        ({"content": "◁think▷three threes◁/think▷9"}, "three threes"),
        ({"content": "<|channel|>analysis<|message|>three threes<|channel|>final<|message|>9"}, "three threes"),
        ({"content": [{"type": "thinking", "thinking": "three threes", "signature": "x"}, "9"]}, "three threes"),
        ({"content": [{"type": "reasoning", "text": "three threes"}, {"text": "9"}]}, "three threes"),
        (
            {"content": [{"type": "text", "text": "<think>three</think>9"}], "reasoning": "three threes"},
            "three threes\n\nthree",
        ),
    ],
)
def test_thinking_is_kept_apart(fields: dict[str, Any], reasoning: str | None) -> None:
    assert answer(**fields) == Message("assistant", "9", reasoning=reasoning)


def test_an_answer_behind_its_thinking_ends_as_it_was_written() -> None:
    assert answer(content="<think>three threes</think>\n 9 \n") == Message(
        "assistant", "9 \n", reasoning="three threes"
    )
    assert answer(content="<think>three threes</think>") == Message("assistant", "", reasoning="three threes")


@pytest.mark.parametrize("text", ["It is </think>9", "Use <think> tags.", "```\n<think>a</think>\n```"])
def test_an_answer_about_thinking_stays(text: str) -> None:
    assert answer(content=text) == Message("assistant", text)
    assert read({"role": "user", "content": "<think>a</think>"}).conversation.messages[0].content == "<think>a</think>"


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ({"role": "assistant", "content": None}, "exchange with a turn that has no text"),
        ({"role": "assistant", "content": []}, "exchange with a turn that has no text"),
        ({"role": "assistant", "content": "<think>hm"}, "exchange whose answer never comes to an end of its thinking"),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]},
            "exchange with a turn that has no text",
        ),
        ({"role": "assistant", "content": "<tool_call>\n{}\n</tool_call>"}, "exchange that used a tool"),
        ({"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}, "exchange that used a tool"),
        ({"role": "function_call", "content": "search()"}, "exchange that used a tool"),
        ({"role": "user", "content": [{"type": "tool_result", "content": "3"}, "x"]}, "exchange that used a tool"),
        (
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1"}, {"text": "x"}]},
            "exchange that used a tool",
        ),
        ({"role": "assistant", "content": "x", "images": ["a"]}, "exchange with an image, sound or file (images)"),
        (
            {"role": "assistant", "content": [{"type": "input_audio"}]},
            "exchange with an image, sound or file (input_audio)",
        ),
    ],
)
def test_turns_that_are_lost_with_their_exchange(turn: dict[str, Any], reason: str) -> None:
    plain = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    chat = read(*plain, USER, turn, *plain)
    assert [m.content for m in chat.conversation.messages] == ["a", "b", "a", "b"]
    assert chat.lost == {reason: 2}


@pytest.mark.parametrize(
    ("asked", "beside", "lost"),
    [
        ("<image>\nWhat?", {}, "<image>"),
        ("What?\n<video>", {}, "<video>"),
        ("<|image_1|>\nWhat?", {}, "<image>"),
        ("What does <image> mean in SVG?", {}, None),
        ("<image>\n<url>x</url>\n</image>\nIs this valid RSS?", {}, None),
        ("What does <image> show?", {"image": "a.jpg"}, "image"),
        ("What?", {"images": ["a.jpg"]}, "images"),
        ("What?", {"images": [], "audio": None, "video": ""}, None),
    ],
)
def test_marks_and_fields_of_media(asked: str, beside: dict[str, Any], lost: str | None) -> None:
    chat = read({"role": "user", "content": asked}, {"role": "assistant", "content": "A cat."}, **beside)
    assert chat.lost == ({f"exchange with an image, sound or file ({lost})": 2} if lost else {})
    assert len(chat.conversation.messages) == (0 if lost else 2)


def test_what_parts_hold_besides_is_set_aside() -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "three threes"}]}
    said = {"type": "text", "text": "9", "value": "nine", "annotations": [{"url": "x"}], "cache_control": None}
    chat = read(USER, {"role": "assistant", "content": [thought, said]})
    meta = {"summary": thought["summary"], "value": "nine", "annotations": [{"url": "x"}]}
    assert chat.conversation.messages[1] == Message("assistant", "9", meta=meta)
    assert chat.set_aside == {f"messages[].content[].{name}": 1 for name in meta}


def test_only_the_exchange_with_the_mark_is_lost() -> None:
    plain = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    shown = [{"role": "user", "content": "see <image> here"}, {"role": "assistant", "content": "a cat"}]
    chat = read({"role": "system", "content": "Be kind."}, *plain, *shown, *plain, images=["x.png"])
    assert [m.content for m in chat.conversation.messages] == ["Be kind.", "a", "b", "a", "b"]


@pytest.mark.parametrize("field", ["system", "system_prompt"])
@pytest.mark.parametrize(
    ("beside", "first", "system"),
    [
        ("Be kind.", None, "Be kind."),
        ([{"type": "text", "text": "Be "}, "kind."], None, "Be kind."),
        ("Be kind.", "Be kind.", "Be kind."),
        ("Be kind.", "Be brief.", "Be kind.\n\nBe brief."),
        ("", "Be brief.", "Be brief."),
        (None, None, None),
    ],
)
def test_a_system_message_beside_the_turns(field: str, beside: Any, first: str | None, system: str | None) -> None:
    turns = [USER, {"role": "assistant", "content": "yes"}]
    if first:
        turns.insert(0, {"role": "system", "content": first})
    messages = read(*turns, **{field: beside}).conversation.messages
    assert [m.content for m in messages if m.role == "system"] == ([system] if system else [])
    assert messages[-2:] == (Message("user", "hi"), Message("assistant", "yes"))


def test_an_answer_that_was_begun() -> None:
    begun = {"role": "assistant", "content": "Roses are", "prefix": True}
    for rest in (" red", "Roses are red"):
        chat = read(USER, begun, {"role": "assistant", "content": rest, "weight": 0.5})
        assert chat.conversation.messages[1:] == (Message("assistant", "Roses are red", 0.5),)
        assert chat.repaired == {"answer joined with its beginning": 1}
    assert read(USER, {"role": "assistant", "content": "Roses", "prefix": True}, USER).conversation.messages[1:] == (
        Message("assistant", "Roses"),
        Message("user", "hi"),
    )


def test_a_name_that_meta_has_already_gets_a_number() -> None:
    chat = read(USER, source="web", meta={"source": "book", "kind": 1}, kind=1)
    assert chat.conversation.meta == {"source": "book", "source#2": "web", "kind": 1}


def test_roles_of_any_case_and_other_names_of_the_fields() -> None:
    for speaker, text in (("role", "content"), ("from", "value"), ("role", "value"), ("from", "content")):
        for field in ("messages", "conversation", "conversations"):
            turns = [{speaker: "Human", text: "hi"}, {speaker: " BOT ", text: "yes"}, {speaker: "System", text: "x"}]
            assert chats({"id": "x", field: turns}) == [("x", ["u: hi", "a: yes", "s: x"], {})]
