"""Completions into tasks: the classic numbered text, read as Alpaca did or with care, and structured output."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from camelid.files.encodable import mend_json
from selfinstruct.keep.leftovers import without_no_input
from selfinstruct.methods.prompt import NO_INPUT, TASKS_A_PROMPT
from selfinstruct.seeds import Task

CUT_OFF = "cut off by max_tokens"
NOT_WHOLE = "fields missing or repeated"
TOO_MANY = "more tasks than asked for"
NOT_JSON = "not the JSON asked for"

_HEADING = re.compile(
    r"^[ \t]*(?:\*\*)?(\d+)[ \t]*[.)][ \t]*(?:\*\*)?[ \t]*(Instruction|Input|Output)[ \t]*:(?:\*\*)?[ \t]*",
    re.MULTILINE | re.IGNORECASE,
)
_FIELDS = ("instruction", "input", "output")
_SEPARATOR = re.compile(r"\n\s*#{2,}\s*$")


@dataclass(frozen=True)
class Parsed:
    """What one completion held.

    Attributes:
        tasks: the whole ones, in order.
        drops: a reason for each that was not whole.
        mended: how many broken characters (halves of surrogate pairs) JSON named, and were replaced.
    """

    tasks: list[Task]
    drops: list[str]
    mended: int = 0


ReplyParser = Callable[[str, int, bool], Parsed]


def parse_compat(completion: str, first: int, truncated: bool) -> Parsed:
    """Read exactly the tasks that Alpaca's post_process_gpt3_response reads, no more and no fewer.

    So a `###` inside an output ends the task, a skipped number loses every task after it, and only
    `<noinput>` means no input. What its author's code passes over in silence is counted here.

    Args:
        completion: the model's text, which goes on after `<first>. Instruction:`.
        first: number of the task that the prompt left open.
        truncated: whether the model was cut off (`finish_reason` length): then its last task is not whole.
    """
    tasks, drops = [], []
    blocks = f"{first}. Instruction:{completion}".split("###")
    for number, block in enumerate(blocks, start=first):
        parts = re.split(rf"{number}\.\s+(?:Instruction|Input|Output):", block)
        if truncated and number == first + len(blocks) - 1:
            drops.append(CUT_OFF)
        elif len(parts) != 4:
            drops.append(NOT_WHOLE)
        else:
            instruction, text, output = (part.strip() for part in parts[1:])
            tasks.append(Task(instruction, "" if text.lower() == NO_INPUT else text, output))
    return Parsed(tasks, drops)


@dataclass
class _Open:
    """A task that is being read."""

    number: int
    values: list[str] = field(default_factory=list)
    broken: bool = False


def parse_strict(completion: str, first: int, truncated: bool) -> Parsed:
    """Read every whole task; the arguments are `parse_compat`'s.

    Fields are found by their own numbered headings, in their order, so a `###` inside an output, another
    separator or none, a skipped or wrong number, a numbered list, and headings in bold cost nothing.
    """
    text = completion if _HEADING.match(completion.lstrip()) else f"{first}. Instruction: {completion.lstrip()}"
    found: list[_Open] = []
    for heading, value in _sections(text):
        number, stage = int(heading[1]), _FIELDS.index(heading[2].lower())
        task = found[-1] if found else None
        if stage == 0 and (task is None or number >= task.number):
            found.append(_Open(number, [value]))
        elif task and stage == len(task.values):
            task.values.append(value)
        elif task and number == task.number:
            task.broken = True
        elif task:
            task.values[-1] += f"\n{heading[0]}{value}"  # a list inside an output that looks like headings
    tasks, drops = [], []
    for task in found:
        if truncated and task is found[-1]:
            drops.append(CUT_OFF)
        elif task.broken or len(task.values) != len(_FIELDS):
            drops.append(NOT_WHOLE)
        elif task.number > TASKS_A_PROMPT:
            drops.append(TOO_MANY)
        else:
            instruction, given, output = (_SEPARATOR.sub("", f"\n{value.rstrip()}").strip() for value in task.values)
            tasks.append(Task(instruction, without_no_input(given), output))
    return Parsed(tasks, drops)


def _sections(text: str) -> list[tuple[re.Match[str], str]]:
    """Each heading with the text up to the next."""
    headings = list(_HEADING.finditer(text))
    ends = [after.start() for _, after in pairwise(headings)] + [len(text)]
    return [(heading, text[heading.end() : end]) for heading, end in zip(headings, ends, strict=True)]


def parse_json(completion: str, first: int, truncated: bool) -> Parsed:
    """Read `{"tasks": [{"instruction", "input", "output"}, ...]}`; of a cut-off list, all that is whole."""
    decoder = json.JSONDecoder()
    tasks: list[Task] = []
    drops: list[str] = []
    mended = 0
    start = re.search(r'"tasks"\s*:\s*\[', completion)
    place = start.end() if start else len(completion)
    while item := re.compile(r"[\s,]*(?=\{)").match(completion, place):
        try:
            value, place = decoder.raw_decode(completion, item.end())
        except (json.JSONDecodeError, RecursionError):
            break
        value, broken = mend_json(value)
        mended += broken
        texts = [value.get(name) for name in _FIELDS]
        if not all(isinstance(text, str) for text in texts):
            drops.append(NOT_WHOLE)
        elif len(tasks) + len(drops) >= TASKS_A_PROMPT - first + 1:
            drops.append(TOO_MANY)
        else:
            instruction, given, output = (text.strip() for text in texts)
            tasks.append(Task(instruction, without_no_input(given), output))
    if not re.compile(r"\s*\]").match(completion, place):
        drops.append(CUT_OFF if truncated else NOT_JSON)
    return Parsed(tasks, drops, mended)
