"""Thinking and answer told apart, in the forms that models write them, and answers that only speak of tags."""

import pytest

from camelid.text.thinking import split_thinking

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
