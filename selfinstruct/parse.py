"""Completions in the numbered text format into tasks; what is lost is named."""

import re
from dataclasses import dataclass

from selfinstruct.prompt import NO_INPUT, TASKS_A_PROMPT
from selfinstruct.seeds import Task

_FIELD = re.compile(r"^\s*(\d+)\s*\.\s*(Instruction|Input|Output)\s*:[ \t]*", re.MULTILINE)
_SEPARATOR = re.compile(r"\n\s*#{2,3}\s*$")
_NO_INPUT = re.compile(r"^\W*(no ?input|none|n/?a)\W*$", re.IGNORECASE)


@dataclass(frozen=True)
class Parsed:
    """What one completion held.

    Attributes:
        tasks: the whole ones, in order.
        drops: a reason for each that was not whole.
    """

    tasks: list[Task]
    drops: list[str]


def parse(completion: str, first: int, truncated: bool) -> Parsed:
    """Read tasks from a completion that goes on after `<first>. Instruction:`.

    Fields are found by their own numbered headings, so a `###` inside an output, a missing separator or a
    skipped number costs nothing.

    Args:
        completion: the model's text.
        first: number of the task that the prompt left open.
        truncated: whether the model was cut off (`finish_reason` length): then its last task is not whole.
    """
    text = completion if _FIELD.match(completion) else f"{first}. Instruction: {completion.lstrip()}"
    fields = _fields(text)
    numbers = list(dict.fromkeys(number for number, _, _ in fields))
    tasks, drops = [], []
    for number in numbers:
        own = {name: value for other, name, value in fields if other == number}
        names = [name for other, name, _ in fields if other == number]
        if truncated and number == numbers[-1]:
            drops.append("cut off by max_tokens")
        elif number > TASKS_A_PROMPT:
            drops.append("more tasks than asked for")
        elif names != ["Instruction", "Input", "Output"]:
            drops.append("fields missing or repeated")
        else:
            tasks.append(Task(own["Instruction"], own["Input"], own["Output"]))
    return Parsed(tasks, drops)


def _fields(text: str) -> list[tuple[int, str, str]]:
    """(number, field name, value) in order of appearance."""
    headings = list(_FIELD.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    fields = []
    for heading, end in zip(headings, ends, strict=True):
        value = _SEPARATOR.sub("", text[heading.end() : end].rstrip()).strip()
        if heading[2] == "Input" and (value.lower() == NO_INPUT or _NO_INPUT.match(value)):
            value = ""
        fields.append((int(heading[1]), heading[2], value))
    return fields
