"""Completions of every shape a model has been seen to write."""

import pytest

from selfinstruct.parse import parse
from selfinstruct.seeds import Task

GOOD = """ Name three rivers.
4. Input:
<noinput>
4. Output:
Nile, Amazon, Rhine
###
5. Instruction: Add the numbers.
5. Input:
1, 2
5. Output:
3
"""


def test_a_clean_completion() -> None:
    parsed = parse(GOOD, 4, truncated=False)
    assert parsed.tasks == [
        Task("Name three rivers.", "", "Nile, Amazon, Rhine"),
        Task("Add the numbers.", "1, 2", "3"),
    ]
    assert parsed.drops == []


@pytest.mark.parametrize("nothing", ["<noinput>", "No input", "no input.", "None", "N/A", "<NoInput>", ""])
def test_ways_to_say_no_input(nothing: str) -> None:
    [task, _] = parse(GOOD.replace("<noinput>", nothing), 4, truncated=False).tasks
    assert task.input == ""


def test_a_heading_inside_an_output_stays() -> None:
    text = GOOD.replace("Nile, Amazon, Rhine", "Rivers:\n### Africa\nNile\n###\n### Europe\nRhine")
    [task, _] = parse(text, 4, truncated=False).tasks
    assert task.output == "Rivers:\n### Africa\nNile\n###\n### Europe\nRhine"


def test_the_model_may_repeat_the_heading_or_skip_a_number() -> None:
    assert parse("4. Instruction:" + GOOD, 4, truncated=False) == parse(GOOD, 4, truncated=False)
    assert len(parse(GOOD.replace("5.", "7."), 4, truncated=False).tasks) == 2


def test_what_is_lost_is_named() -> None:
    cut = parse(GOOD, 4, truncated=True)
    assert [task.instruction for task in cut.tasks] == ["Name three rivers."] and cut.drops == ["cut off by max_tokens"]
    no_output = parse(GOOD.replace("5. Output:\n3\n", ""), 4, truncated=False)
    assert len(no_output.tasks) == 1 and no_output.drops == ["fields missing or repeated"]
    beyond = parse(GOOD.replace("5.", "21."), 4, truncated=False)
    assert len(beyond.tasks) == 1 and beyond.drops == ["more tasks than asked for"]
    assert parse("I'm sorry, I can't do that.", 4, truncated=False).drops == ["fields missing or repeated"]
