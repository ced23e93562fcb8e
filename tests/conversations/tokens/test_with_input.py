"""An instruction with its input: written in two parts where a template has a form for them, and only there."""

from dataclasses import replace
from typing import Any

import pytest

from camelid.message import Conversation, Message
from conversations.tokens.template import Template, get_template
from conversations.tokens.with_input import InputForm

META = {"instruction": "Add.", "input": " 1 2 "}
ASKED, ANSWER = Message("user", "Add.\n\n 1 2 "), Message("assistant", "3", 0.5)


def render(template: Template, conversation: Conversation) -> str:
    return "".join(span.text for span in template.spans(conversation))


def test_any_template_can_have_a_form_for_an_input() -> None:
    """Here one that puts the system message into the user's turn and strips both."""
    form = InputForm(default_system="Two parts.", input_open="\nInput: ")
    template = replace(get_template("llama-2"), default_system="One.", with_input=form)
    spans = template.spans(Conversation("x", (ASKED, ANSWER), META))
    assert "".join(span.text for span in spans) == (
        "<s>[INST] <<SYS>>\nTwo parts.\n<</SYS>>\n\nAdd.\nInput:  1 2 [/INST] 3 </s>"
    )
    assert [span.text for span in spans if span.typed] == ["Two parts.", "Add.", " 1 2", "3"]
    assert [span.text for span in spans if span.weight == 0.5] == [" ", "3", " </s>"]
    assert render(template, Conversation("x", (Message("user", "Add."), ANSWER), {**META, "input": ""})) == (
        "<s>[INST] <<SYS>>\nOne.\n<</SYS>>\n\nAdd. [/INST] 3 </s>"
    )
    silent = replace(template, with_input=replace(form, default_system=None))
    assert render(silent, Conversation("x", (ASKED, ANSWER), META)) == "<s>[INST] Add.\nInput:  1 2 [/INST] 3 </s>"


@pytest.mark.parametrize(
    ("messages", "meta"),
    [
        ((Message("user", "Add.\n\n 1 2 3"), ANSWER), META),  # edited
        ((ASKED, ANSWER, ASKED, ANSWER), META),
        ((Message("system", ASKED.content), Message("user", "b")), META),
        ((ASKED, ANSWER), {"input": " 1 2 "}),
        ((Message("user", "Add.\n\n12"), ANSWER), {**META, "input": 12}),
        ((ASKED, ANSWER), {}),
    ],
)
def test_anything_else_is_written_as_it_stands(messages: tuple[Message, ...], meta: dict[str, Any]) -> None:
    template = get_template("alpaca")
    expected = render(replace(template, with_input=None), Conversation("x", messages))
    assert render(template, Conversation("x", messages, meta)) == expected
    assert "### Input" not in expected


def test_a_template_without_a_form_writes_one_message() -> None:
    assert render(get_template("chatml"), Conversation("x", (ASKED, ANSWER), META)) == (
        "<|im_start|>user\nAdd.\n\n 1 2 <|im_end|>\n<|im_start|>assistant\n3<|im_end|>\n"
    )
