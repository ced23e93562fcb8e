"""Tasks from a file, and as the questions that are asked of a model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from camelid.errors import UserError
from camelid.files.paths import find_packaged
from conversations.questions.records import read_file_records
from eval.ask.code_task import CodeTask
from eval.ask.questions import Question
from eval.ask.tasks.table import TASK_FORMATS

CATEGORY = "coding"


def read_tasks(path: str | Path) -> list[CodeTask]:
    """Read a file of tasks in any format of `eval.ask.tasks.table`.

    Raises:
        UserError: a record is in none of them, a field is wrong, an id is repeated, or there is no task.
    """
    tasks: dict[str, CodeTask] = {}
    for place, record in read_file_records(find_packaged(path)):
        format = next((one for one in TASK_FORMATS if one.fields <= record.keys()), None)
        if format is None:
            known = "; ".join(f"{one.called}: {', '.join(sorted(one.fields))}" for one in TASK_FORMATS)
            raise UserError(f"{place}: not a task with tests; expected the fields of one of these: {known}")
        task = format.read(record, place)
        if task.id in tasks:
            raise UserError(f"{place}: task {task.id!r} is there twice; make the ids unique")
        tasks[task.id] = task
    if not tasks:
        raise UserError(f"{path}: no tasks in it")
    return list(tasks.values())


def task_questions(tasks: Sequence[CodeTask], samples: int) -> list[Question]:
    """Each task as one question, whose turns are its samples: the same asked so many times, each time anew."""
    return [
        Question(
            task.id, CATEGORY, (task.ask,) * samples, (task.reference,) * samples if task.reference else (), task=task
        )
        for task in tasks
    ]


def continued(question: Question) -> Question:
    """A task's question as a base model is given it: code to go on with, or to fill in.

    Raises:
        UserError: the task has no code to begin with.
    """
    if question.task is None or not question.task.before:
        raise UserError(f"--completions: task {question.id!r} has no code to go on with; leave the option out")
    return replace(question, continued=True)
