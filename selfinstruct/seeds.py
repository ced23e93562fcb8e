"""Seed tasks, in Self-Instruct's file format."""

from dataclasses import dataclass
from pathlib import Path

from camelid.errors import UserError
from camelid.files.read import Record, read_jsonl
from conversations.formats.readers import read_records

OWN = Path(__file__).parent / "data" / "seed_tasks.jsonl"


@dataclass(frozen=True)
class Task:
    """An instruction with its input (may be empty) and output; whether it sorts into given classes."""

    instruction: str
    input: str
    output: str
    classification: bool = False


def read_seeds(path: str | Path = OWN) -> list[Task]:
    """Read seed tasks: `{"instruction", "instances": [{"input", "output"}, ...]}` a line; the first instance counts.

    Raises:
        UserError: a field is missing or of the wrong type (with file and line), or fewer than 3 tasks.
    """
    tasks = []
    for place, record in read_jsonl(path):
        instances = record.get("instances")
        if not isinstance(instances, list) or not instances or not isinstance(instances[0], dict):
            raise UserError(f"{place}: field 'instances' must be a list with one {{input, output}} object at least")
        values = {"instruction": record.get("instruction"), **instances[0]}
        for name in ("instruction", "input", "output"):
            if not isinstance(values.get(name), str):
                raise UserError(f"{place}: field {name!r} must be a string, found {values.get(name)!r}")
        classification = bool(record.get("is_classification", False))
        tasks.append(Task(values["instruction"], values["input"], values["output"], classification))
    if len(tasks) < 3:
        raise UserError(f"{path}: {len(tasks)} seed task(s); a prompt shows 3, so at least 3 are needed")
    return tasks


def read_tasks(path: str | Path) -> list[Task]:
    """Read instruction records (`instruction`, `input`?, `output`?) from JSON Lines or a JSON list, Alpaca's format.

    Raises:
        UserError: a field is missing or of the wrong type (with file and line), or there is no record.
    """
    tasks = [read_task(record, place) for place, record in read_records(path)]
    if not tasks:
        raise UserError(f"{path}: no records")
    return tasks


def read_task(record: Record, place: str) -> Task:
    """The task of an instruction record; without an input, or with null for one, its input is empty.

    Raises:
        UserError: a field is missing or of the wrong type.
    """
    values = {"output": "", **record, "input": record.get("input") or ""}
    for name in ("instruction", "input", "output"):
        if not isinstance(values.get(name), str):
            raise UserError(f"{place}: field {name!r} must be a string, found {values.get(name)!r}")
    return Task(values["instruction"], values["input"], values["output"])
