"""Tasks that training data held: found by the rule that keeps questions out of data, and left out of a second score."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from camelid.files.records import read_records
from camelid.text.decontaminate import NGRAM, Decontaminator
from eval.ask.code_task import CodeTask
from eval.ask.questions import Question
from eval.results import Results


@dataclass(frozen=True, slots=True)
class Contamination:
    """What training data share with tasks.

    Attributes:
        tasks: the ids of those that are in them.
        first: the place of the first record that holds one; empty if none does.
        records: that were read.
    """

    tasks: frozenset[str]
    first: str
    records: int


def find_contamination(tasks: Sequence[CodeTask], paths: Sequence[str]) -> Contamination:
    """Look for tasks, solutions included, in every text of training records.

    Raises:
        UserError: a file cannot be read.
    """
    known: dict[str, list[str]] = {}
    for task in tasks:
        known.setdefault(task.published, []).append(task.id)
    rule, found, first, count = Decontaminator(known), set[str](), "", 0
    for path in paths:
        for place, record in read_records(path):
            count += 1
            matched = {text for part in _texts(record) for text in rule.matches(part)}
            first = first or (place if matched else "")
            found |= matched
    return Contamination(frozenset(name for text in found for name in known[text]), first, count)


def describe_contamination(
    found: Contamination, questions: Sequence[Question], summary: Callable[[list[Question]], Results]
) -> str:
    """The finding in a sentence, with the scores on the other tasks.

    Args:
        found: what there is.
        questions: the tasks'.
        summary: the results of some of them.
    """
    rule = f"{NGRAM} words in a row, or all of them, in common with {found.records:,} training records"
    if not found.tasks:
        return f"None of the {len(questions)} tasks has {rule}."
    note = f"{len(found.tasks)} of the {len(questions)} tasks have {rule} (the first: {found.first})"
    others = [question for question in questions if question.id not in found.tasks]
    if not others:
        return f"{note}."
    clean = summary(others)
    rows = [f"{row.label} {row.score.mean:.1f}%" for row in clean.boards[0].rows if row.score]
    return f"{note}; {clean.scale.name} on the others: {', '.join(rows)}."


def _texts(value: object) -> Iterator[str]:
    """Every text in a record, wherever it stands."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
