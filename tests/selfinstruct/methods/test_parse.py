"""Completions of every shape a model has been seen to write, with the decisions of Alpaca's own code on them.

The `alpaca` column was filled in by running post_process_gpt3_response (github.com/tatsu-lab/stanford_alpaca,
generate_instruction.py) on each completion after three shown tasks; `intact` is what a careful reader finds.
"""

import json
from dataclasses import dataclass, field

import pytest

from selfinstruct.keep.rules import read_rules
from selfinstruct.keep.selection import Selection
from selfinstruct.methods.parse import parse_compat, parse_json, parse_strict
from selfinstruct.seeds import Task


def block(number: int, task: Task, given: str | None = None, end: str = "\n###\n") -> str:
    text = (task.input or "<noinput>") if given is None else given
    return f"{number}. Instruction: {task.instruction}\n{number}. Input:\n{text}\n{number}. Output:\n{task.output}{end}"


RIVERS = Task("Name three rivers of Africa.", "", "Nile, Congo, Niger")
ADD = Task("Add the numbers of the list.", "1, 2", "3")
RHYME = Task("Find a word that rhymes with it.", "moon", "spoon")
HEADED = Task("Write an outline about rivers in Markdown.", "", "### Africa\nNile\n### Europe\nRhine")
NOTHING = Task(HEADED.instruction, "", "")  # what Alpaca makes of it
STEPS = Task("List the steps of making tea.", "", "1. Boil water.\n2. Add tea.\n3. Wait.")
PICTURE = Task("Describe the picture of a river.", "", "It is wide.")
SHORT = Task("Name a river.", "", "Nile")
PROGRAM = Task("Write a program that adds two numbers.", "", "print(1 + 2)")
QUOTED = Task('"Rivers run" is which kind of sentence?', "", "A statement.")
FOREIGN = Task("Über welche Flüsse führt die Brücke?", "", "Über den Rhein.")
NUMBERS = Task("Explain what the label means.", "14. Input: a plug", "A socket's name.")
EMPTY = Task("Write nothing at all about rivers.", "", "")
LONG = Task("word " * 151 + "x", "", "y")


@dataclass
class Case:
    """A completion; what Alpaca keeps of it; what a careful reader finds, before any filter on content."""

    text: str
    alpaca: list[Task]
    intact: list[Task]
    truncated: bool = False
    lost: list[str] = field(default_factory=list)  # strict's reasons


def after_heading(text: str) -> str:
    return text.removeprefix("4. Instruction:")


CASES = {
    "clean": Case(block(4, RIVERS) + block(5, ADD) + block(6, RHYME, end=""), [RIVERS, ADD, RHYME],
                  [RIVERS, ADD, RHYME]),
    "separator at the end": Case(block(4, RIVERS) + block(5, ADD), [RIVERS, ADD], [RIVERS, ADD]),
    "heading in an output": Case(block(4, RIVERS) + block(5, HEADED) + block(6, ADD), [RIVERS, NOTHING],
                                 [RIVERS, HEADED, ADD]),
    "heading in the only output": Case(block(4, HEADED), [NOTHING], [HEADED]),
    "skipped number": Case(block(4, RIVERS) + block(6, ADD) + block(7, RHYME), [RIVERS], [RIVERS, ADD, RHYME]),
    "repeated number": Case(block(4, RIVERS) + block(4, ADD) + block(5, RHYME), [RIVERS], [RIVERS, ADD, RHYME]),
    "two-sharp separator": Case(block(4, RIVERS, end="\n##\n") + block(5, ADD), [Task(
        RIVERS.instruction, "", "Nile, Congo, Niger\n##\n5. Instruction: Add the numbers of the list.\n5. Input:\n1, 2"
        "\n5. Output:\n3")], [RIVERS, ADD]),
    "four-sharp separator": Case(block(4, RIVERS, end="\n####\n") + block(5, ADD), [RIVERS, ADD], [RIVERS, ADD]),
    "no separator": Case(block(4, RIVERS, end="\n\n") + block(5, ADD), [Task(
        RIVERS.instruction, "", "Nile, Congo, Niger\n\n5. Instruction: Add the numbers of the list.\n5. Input:\n1, 2"
        "\n5. Output:\n3")], [RIVERS, ADD]),
    "No input": Case(block(4, RIVERS, "No input") + block(5, ADD), [Task(RIVERS.instruction, "No input",
                     RIVERS.output), ADD], [RIVERS, ADD]),
    "<NoInput>": Case(block(4, RIVERS, "<NoInput>") + block(5, ADD), [RIVERS, ADD], [RIVERS, ADD]),
    "None.": Case(block(4, RIVERS, "None."), [Task(RIVERS.instruction, "None.", RIVERS.output)], [RIVERS]),
    "cut off in an output": Case(block(4, RIVERS) + block(5, ADD, end=""), [RIVERS], [RIVERS], truncated=True,
                                 lost=["cut off by max_tokens"]),
    "cut off in an instruction": Case(block(4, RIVERS) + "5. Instruction: Add the", [RIVERS], [RIVERS],
                                      truncated=True, lost=["cut off by max_tokens"]),
    "cut off after a separator": Case(block(4, RIVERS) + block(5, ADD), [RIVERS, ADD], [RIVERS], truncated=True,
                                      lost=["cut off by max_tokens"]),
    "output missing": Case(block(4, RIVERS) + "5. Instruction: Add them.\n5. Input:\n1, 2\n###\n" + block(6, RHYME),
                           [RIVERS, RHYME], [RIVERS, RHYME], lost=["fields missing or repeated"]),
    "output twice": Case(block(4, RIVERS) + block(5, ADD, end="\n5. Output:\n4\n###\n") + block(6, RHYME),
                         [RIVERS, RHYME], [RIVERS, RHYME], lost=["fields missing or repeated"]),
    "list in an output": Case(block(4, STEPS) + block(5, ADD), [STEPS, ADD], [STEPS, ADD]),
    "longer number in an input": Case(block(4, NUMBERS) + block(5, ADD), [ADD], [NUMBERS, ADD]),
    "bold headings": Case(" Name three rivers of Africa.\n**4. Input:**\n<noinput>\n**4. Output:**\nNile, Congo, Niger"
                          "\n###\n" + block(5, ADD), [Task(RIVERS.instruction + "\n**", "**\n<noinput>\n**",
                          "**\nNile, Congo, Niger"), ADD], [RIVERS, ADD]),
    "headings in lower case": Case(block(4, RIVERS) + block(5, ADD).replace("Input", "input").replace(
        "Output", "output"), [RIVERS], [RIVERS, ADD]),
    "brackets after numbers": Case(block(4, RIVERS) + block(5, ADD).replace("5.", "5)"), [RIVERS], [RIVERS, ADD]),
    "wrong number inside": Case(block(4, RIVERS) + block(5, ADD).replace("5. Input", "4. Input"), [RIVERS],
                                [RIVERS, ADD]),
    "filters": Case(block(4, PICTURE) + block(5, SHORT) + block(6, PROGRAM) + block(7, QUOTED) + block(8, FOREIGN)
                    + block(9, LONG) + block(10, ADD), [ADD],
                    [PICTURE, SHORT, PROGRAM, QUOTED, FOREIGN, LONG, ADD]),
    "output empty": Case(block(4, EMPTY) + block(5, ADD), [EMPTY, ADD], [EMPTY, ADD]),
    "a refusal": Case(" I'm sorry, I can't do that.", [], [], lost=["fields missing or repeated"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_compat_decides_as_alpaca(name: str) -> None:
    case = CASES[name]
    parsed = parse_compat(after_heading(case.text), 4, case.truncated)
    selection = Selection([], read_rules(), compat=True)
    assert [task for task in parsed.tasks if not selection.reason_to_drop(task)] == [
        Task(task.instruction.strip(), task.input, task.output) for task in case.alpaca
    ]
    assert len(parsed.tasks) + len(parsed.drops) == len(after_heading(case.text).split("###"))


@pytest.mark.parametrize("name", CASES)
def test_strict_finds_what_is_whole(name: str) -> None:
    case = CASES[name]
    parsed = parse_strict(after_heading(case.text), 4, case.truncated)
    assert parsed.tasks == [Task(task.instruction.strip(), task.input, task.output) for task in case.intact]
    assert parsed.drops == case.lost


def test_strict_takes_a_repeated_heading_and_no_more_than_asked_for() -> None:
    text = block(4, RIVERS) + block(5, ADD)
    assert parse_strict(text, 4, False) == parse_strict(after_heading(text), 4, False)
    beyond = parse_strict(text.replace("5.", "21."), 4, False)
    assert beyond.tasks == [RIVERS] and beyond.drops == ["more tasks than asked for"]


@pytest.mark.parametrize("nothing", ["<noinput>", "No input", "no input.", "None", "N/A", "<NoInput>", "", "noinput"])
def test_ways_to_say_no_input(nothing: str) -> None:
    for parse, text in (
        (parse_strict, after_heading(block(4, RIVERS, nothing))),
        (parse_json, json.dumps({"tasks": [{**vars(RIVERS), "input": nothing}]})),
    ):
        assert parse(text, 4, False).tasks == [RIVERS]


def as_json(*tasks: Task) -> str:
    return json.dumps({"tasks": [{"instruction": t.instruction, "input": t.input, "output": t.output} for t in tasks]})


def test_structured_output() -> None:
    text = as_json(RIVERS, HEADED, ADD)
    assert parse_json(text, 4, False).tasks == [RIVERS, HEADED, ADD] and not parse_json(text, 4, False).drops
    assert parse_json(f"```json\n{text}\n```", 4, False).tasks == [RIVERS, HEADED, ADD]
    for end in range(text.index("Add"), len(text) - 2):  # cut off anywhere in the last task
        cut = parse_json(text[:end], 4, True)
        assert cut.tasks[:2] == [RIVERS, HEADED] and cut.drops == ["cut off by max_tokens"]
    assert parse_json("Sorry.", 4, False).drops == ["not the JSON asked for"]
    assert parse_json('{"tasks": [{"instruction": "a"}]}', 4, False).drops == ["fields missing or repeated"]
    assert parse_json(as_json(*[ADD] * 18), 4, False).drops == ["more tasks than asked for"]
