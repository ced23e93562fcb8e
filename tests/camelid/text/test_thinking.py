"""Thinking and answer told apart, in the forms that models write them, and answers that only speak of tags."""

import pytest

from camelid.text.thinking import Thought, find_thinking, split_thinking

SPLIT = {  # text: (thinking, answer)
    "<think>\nTwo and two.\n</think>\n\nFour.": ("Two and two.", "Four."),
    "<think>\n\n</think>\n\nFour.": ("", "Four."),  # Qwen3 with thinking switched off
    "Two and two.\n</think>\n\nFour.": ("Two and two.", "Four."),  # DeepSeek-R1: the template opens
    "Two and two.</think>Four.": ("Two and two.", "Four."),
    "<think>Two and": ("Two and", ""),
    "<THINK>a</THINK> Four.": ("a", "Four."),
    "<think>a</think><think>b</think>Four.": ("a\n\nb", "Four."),
    "<think>Write <think></think>?\nNo.\n</think>\nFour.": ("Write <think>\n\n?\nNo.", "Four."),
    '<think>{"tasks": [1]}</think>{"tasks": [2]}': ('{"tasks": [1]}', '{"tasks": [2]}'),
    "Well.\n<think>\nScore: [[1]]\n</think>\nScore: [[5]]": ("Score: [[1]]", "Well.\n\nScore: [[5]]"),
    "<thinking>a</thinking>Four.": ("a", "Four."),
    "<thought>a</thought>Four.": ("a", "Four."),
    "<seed:think>a</seed:think>Four.": ("a", "Four."),
    "[THINK]a[/THINK]Four.": ("a", "Four."),
    "◁think▷a◁/think▷Four.": ("a", "Four."),
    "<|START_THINKING|>a<|END_THINKING|>Four.": ("a", "Four."),
}


@pytest.mark.parametrize(("text", "expected"), SPLIT.items(), ids=range(len(SPLIT)))
def test_thinking_is_split_off(text: str, expected: tuple[str, str]) -> None:
    assert split_thinking(text) == expected
    assert split_thinking(expected[1]) == ("", expected[1])


TAGS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
]


@pytest.mark.parametrize(("opening", "closing"), TAGS)
def test_every_tag_in_any_case_and_unopened(opening: str, closing: str) -> None:
    for case in (str, str.upper, str.lower):
        assert find_thinking(f"{case(opening)}a{case(closing)} Four. \n") == Thought("a", "Four. \n")
        assert find_thinking(f"a{case(closing)}\nFour.") == Thought("a", "Four.")


def test_thinking_that_never_ends_is_told_from_an_empty_answer() -> None:
    assert find_thinking("<think>a") == Thought("a", None)
    assert find_thinking("<think>a</think>\n") == Thought("a", "")
    assert find_thinking("Four.") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  Four.\n",
        "R1 ends its thinking with `</think>`, as Qwen3 does.",
        "Write <think> first and </think> last.",
        "A reply looks so:\n\n```\n<think>\nTwo and two.\n</think>\nFour.\n```",
        "I think <b>four</b>.",
    ],
)
def test_a_text_without_thinking_is_left_as_it_is(text: str) -> None:
    assert split_thinking(text) == ("", text)
