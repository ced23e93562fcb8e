"""ChatGPT's exports: branches, and messages that are no text."""

from typing import Any

import pytest

from conversations.formats.readers import read_chats
from tests.conversations.formats.message_trees import chatgpt, chats, node


def test_chatgpt_branches() -> None:
    record = chatgpt(
        a=node("root", "user", "hi", "b"),
        b=node("a", "assistant", "yes", "c1", "c2"),
        c1=node("b", "user", "first"),
        c2=node("b", "user", "second"),
    )
    shown = ("x", ["u: hi", "a: yes", "u: second"], {})
    assert chats(record) == [shown, ("x/2", ["u: hi", "a: yes", "u: first"], {})]
    assert chats(record, "last") == [shown]
    assert [chat.conversation.meta for chat in read_chats(record, "P")] == [{"title": "T", "tree": "x"}] * 2


@pytest.mark.parametrize(
    ("message", "turns", "lost"),
    [
        (node("a", "tool", "42", "c2"), [], {"exchange that used a tool": 3}),
        (node("a", "assistant", "search()", "c2", recipient="browser"), [], {"exchange that used a tool": 3}),
        (
            node("a", "assistant", "", "c2", content={"content_type": "thoughts", "thoughts": []}),
            ["u: hi", "a: yes"],
            {"turn that the page does not show": 1},
        ),
        (
            node(
                "a",
                "user",
                "",
                "c2",
                content={"content_type": "multimodal_text", "parts": [{"asset_pointer": "f"}, "?"]},
            ),
            [],
            {"exchange with an image, sound or file (dict)": 3},
        ),
        (
            node("a", "system", "be kind", "c2", metadata={"is_visually_hidden_from_conversation": True}),
            ["u: hi", "a: yes"],
            {"turn that the page does not show": 1},
        ),
    ],
)
def test_chatgpt_messages(message: Any, turns: list[str], lost: dict[str, int]) -> None:
    record = chatgpt(a=node("root", "user", "hi", "b"), b=message, c2=node("b", "assistant", "yes"))
    assert chats(record) == [("x", turns, lost)]


def weights(record: Any) -> dict[str, list[tuple[str, float | None]]]:
    """Of each branch, its answers with their weights."""
    return {
        chat.conversation.id: [(m.content, m.weight) for m in chat.conversation.messages if m.role == "assistant"]
        for chat in read_chats(record, "PLACE")
    }


def test_an_answer_in_several_branches_is_trained_once() -> None:
    record = chatgpt(
        a=node("root", "user", "hi", "b"),
        b=node("a", "assistant", "yes", "c1", "c2"),
        c1=node("b", "user", "first", "d1", "e1"),
        d1=node("c1", "assistant", "one"),
        e1=node("c1", "assistant", "yes"),  # says the same, but is another answer
        c2=node("b", "user", "second", "d2"),
        d2=node("c2", "assistant", "two"),
    )
    record["current_node"] = "d1"
    assert weights(record) == {
        "x": [("yes", None), ("one", None)],
        "x/2": [("yes", 0.0), ("yes", None)],
        "x/3": [("yes", 0.0), ("two", None)],
    }


def test_an_answer_that_its_first_branch_lost_is_trained_in_the_next() -> None:
    record = chatgpt(
        a=node("root", "user", "hi", "b"),
        b=node("a", "assistant", "yes", "c1", "c2"),
        c1=node("b", "tool", "42"),
        c2=node("b", "user", "second", "d2"),
        d2=node("c2", "assistant", "two"),
    )
    record["current_node"] = "c1"
    assert weights(record) == {"x": [], "x/2": [("yes", None), ("two", None)]}


def test_an_answer_that_goes_on_after_a_stop_is_one() -> None:
    stopped = {"metadata": {"finish_details": {"type": "max_tokens"}}}
    record = chatgpt(
        a=node("root", "user", "hi", "b"),
        b=node("a", "assistant", "Mercury, Ve", "c", **stopped),
        c=node("b", "assistant", "nus, Earth", "c1", "c2", metadata={"finish_details": {"type": "stop"}}),
        c1=node("c", "user", "more", "d1"),
        d1=node("c1", "assistant", "Mars"),
        c2=node("c", "user", "thanks", "d2"),
        d2=node("c2", "assistant", "Wel", status="finished_partial_completion"),
    )
    record["current_node"] = "d1"
    whole = "Mercury, Venus, Earth"
    assert weights(record) == {"x": [(whole, None), ("Mars", None)], "x/2": [(whole, 0.0), ("Wel", None)]}
    chats_of = {chat.conversation.messages[-1].content: chat for chat in read_chats(record, "PLACE")}
    assert [m.truncated for m in chats_of["Wel"].conversation.messages] == [False, False, False, True]
    assert not any(m.truncated for m in chats_of["Mars"].conversation.messages)
    assert chats_of["Mars"].repaired == {"answer joined with its beginning": 1}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Blue.\ue200cite\ue202turn0search0\ue202turn1view2\ue201 Red \ue200filecite\ue202x\ue201.", "Blue. Red."),
        ('So says \ue200entity\ue202["people","Ada","writer"]\ue201.', "So says Ada."),
        ("It ends \ue200cite\ue202turn0sea", "It ends"),
        ("\ue203Marked\ue200entity\ue202[broken\ue201 text", "Marked text"),
        ("None.", "None."),
    ],
)
def test_marks_of_citations_go(text: str, shown: str) -> None:
    record = chatgpt(a=node("root", "user", text, "b"), b=node("a", "assistant", text))
    assert chats(record)[0][1] == [f"u: {text}", f"a: {shown}"]


def part(kind: str, **more: Any) -> dict[str, Any]:
    return {"content_type": kind, **more}


VOICE = part("audio_transcription", text="Say it.")
LIVE = "real_time_user_audio_video_asset_pointer"


@pytest.mark.parametrize(
    ("content", "more", "lost"),
    [
        (part("multimodal_text", parts=[VOICE, part("audio_asset_pointer")]), {}, None),
        (part("multimodal_text", parts=[VOICE, part(LIVE, frames_asset_pointers=[])]), {}, None),
        (part("multimodal_text", parts=[VOICE, part(LIVE, frames_asset_pointers=["f"])]), {}, f"({LIVE})"),
        (part("multimodal_text", parts=[part("audio_asset_pointer")]), {}, "(audio_asset_pointer)"),
        (part("multimodal_text", parts=["Say it.", part("image_asset_pointer")]), {}, "(image_asset_pointer)"),
        (part("text", parts=["Say it."]), {"metadata": {"attachments": [{"name": "a.pdf"}]}}, "(attachments)"),
        (part("text", parts=["Say it."]), {"metadata": {"attachments": []}}, None),
        (part("code", text="Say it."), {}, "that used a tool"),
        (part("system_error", text="Say it."), {}, "that an error of the service ended"),
        (part("super_widget", text="Say it."), {}, "with content of type 'super_widget'"),
    ],
)
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_only_named_kinds_of_content_are_text(content: Any, more: Any, lost: str | None, role: str) -> None:
    said = node("a", role, "", "c2", content=content, **more)
    if role == "user":
        record = chatgpt(a=node(None, "system", "", "b"), b=said, c2=node("b", "assistant", "Yes."))
    else:
        record = chatgpt(a=node("root", "user", "Hi", "b"), b=said)
        record["current_node"] = "b"
    [(_, turns, reasons)] = chats(record)
    assert (f"{role[0]}: Say it." in turns) == (lost is None)
    assert [reason for reason in reasons if lost and lost in reason] == list(reasons)
