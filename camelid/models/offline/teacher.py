"""Writes tasks: in answer to a self-instruct prompt, or as a user's turn."""

import json
import re
from random import Random

from camelid.models.offline.tasks import FAMILIES, TaskTexts

_WANTED = re.compile(r"\blist of (\d+)\b")
_MISSING = re.compile(r"\bWrite the other (\d+) as a JSON object\b")
_OPEN_TASK = re.compile(r"(?:^|\n)(\d+)\. Instruction:\s*$")
_CLOSING = re.compile(r'\bEnd every output with "([^"]+)"')


def write_tasks(prompt: str, random: Random) -> str | None:
    """Go on where the prompt ends, up to the number of tasks it asks for.

    Args:
        prompt: ends with `N. Instruction:` and asks for a `list of M` tasks; it may say `End every output with "..."`.
        random: all choices come from here.

    Returns:
        The text of instruction N and the tasks up to M, in the prompt's own block format; None if this is
        no such prompt.
    """
    open_task, wanted = _OPEN_TASK.search(prompt), _WANTED.search(prompt)
    if not open_task or not wanted:
        return None
    first, last = int(open_task[1]), int(wanted[1])
    blocks = []
    for number, (instruction, text, output) in enumerate(_asked_tasks(prompt, last - first + 1, random), start=first):
        fields = (("Instruction: ", instruction), ("Input:\n", text or "<noinput>"), ("Output:\n", output))
        blocks.append("\n".join(f"{number}. {heading}{value}" for heading, value in fields))
    return "\n###\n".join(blocks).removeprefix(f"{first}. Instruction:")


def write_json_tasks(prompt: str, random: Random) -> str | None:
    """The tasks still missing from the list that the prompt wants, as a JSON object; None if it wants no list."""
    missing = _MISSING.search(prompt)
    if not missing:
        return None
    tasks = [
        {"instruction": instruction, "input": text or "<noinput>", "output": output}
        for instruction, text, output in _asked_tasks(prompt, int(missing[1]), random)
    ]
    return json.dumps({"tasks": tasks}, ensure_ascii=False)


def write_turn(random: Random) -> str:
    """What a user might say: a task, with its input after an empty line."""
    [(instruction, text, _)] = _tasks(1, random)
    return "\n\n".join(filter(None, (instruction, text)))


def _asked_tasks(prompt: str, count: int, random: Random) -> list[TaskTexts]:
    """Tasks whose outputs end as the prompt wants it."""
    closing = _CLOSING.search(prompt)
    end = f" {closing[1]}" if closing else ""
    return [(instruction, text, output + end) for instruction, text, output in _tasks(count, random)]


def _tasks(count: int, random: Random) -> list[TaskTexts]:
    return [random.choice(random.choice(list(FAMILIES.values())))(random) for _ in range(count)]
