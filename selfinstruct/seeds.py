"""Seed tasks, in Self-Instruct's file format."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from camelid.errors import UserError
from camelid.files.read import Record, read_jsonl
from conversations.formats.readers import read_records

OWN = Path(__file__).parent / "data" / "seed_tasks.jsonl"
MORE = OWN.with_name("seed_tasks_more.jsonl")  # marked with their kind; none is used unless it is asked for
KINDS = ("long-form", "reasoning", "multi-turn")


@dataclass(frozen=True)
class Task:
    """An instruction with its input (may be empty) and output; whether it sorts into given classes."""

    instruction: str
    input: str
    output: str
    classification: bool = False


def read_seeds(path: str | Path = OWN, kinds: Collection[str] = ()) -> list[Task]:
    """Read seed tasks: `{"instruction", "instances": [{"input", "output"}, ...]}` a line; the first instance counts.

    Args:
        path: the file.
        kinds: of our own further tasks (`KINDS`) that are added.

    Raises:
        UserError: a field is missing or of the wrong type (with file and line), or fewer than 3 tasks.
    """
    tasks = []
    more = ((place, record) for place, record in read_jsonl(MORE) if record["kind"] in kinds)
    for place, record in chain(read_jsonl(path), more):
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


def read_texts(path: str | Path) -> list[str]:
    """Read texts: field `text` (or `output`) of JSON Lines, an array or Parquet.

    Raises:
        UserError: the field is missing or no text (with file and line), or there is no record.
    """
    texts = []
    for place, record in read_records(path):
        text = record.get("text", record.get("output"))
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{place}: field 'text' must be a string, found {text!r}")
        texts.append(text.strip())
    if not texts:
        raise UserError(f"{path}: no texts")
    return texts
