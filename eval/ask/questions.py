"""Evaluation questions from our own and the published files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.paths import find_packaged
from camelid.files.read import Record
from camelid.message import Conversation
from conversations.formats.readers import read_records

PLAIN = ("text", "question", "prompt")


@dataclass(frozen=True, slots=True)
class Question:
    """One question, possibly with follow-ups.

    Attributes:
        id: unique within the set.
        category: for the tables and for the sampling temperature.
        turns: what the user says, turn by turn.
        references: the right answer to each turn; empty where there is none.
        system: the system message before the first turn; empty if there is none.
    """

    id: str
    category: str
    turns: tuple[str, ...]
    references: tuple[str, ...] = ()
    system: str = ""


def question_key(text: str) -> str:
    """What a question is known by where a file has its text only: blanks at its ends and their number don't matter."""
    return " ".join(text.split())


class QuestionTexts:
    """Finds questions by their text, for files that name them in no other way."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self._ids: dict[str, list[str]] = {}
        for question in questions:
            self._ids.setdefault(question_key(question.turns[0]), []).append(question.id)
        self._met = Counter[tuple[str, ...]]()

    def find(self, text: str, *row: str) -> str | None:
        """The id of the question with this text; None if there is none.

        Args:
            text: its first turn.
            row: what else tells rows apart (judge, models). Where two questions have the same text, the first such row
                is of the first one, the next of the second.
        """
        key = question_key(text)
        ids = self._ids.get(key, [])
        if len(ids) < 2:
            return ids[0] if ids else None
        self._met[(key, *row)] += 1
        return ids[(self._met[(key, *row)] - 1) % len(ids)]


def read_questions(path: str | Path, references: str | Path | None = None) -> list[Question]:
    """Read a question file in our, MT-bench's, Vicuna's, AlpacaEval's or Self-Instruct's format, or a plain one.

    Plain are records with the question in `text`, `question` or `prompt`, and in `reference` the right answer if there
    is one; instruction records, whose output is the reference; and conversations (`messages`), whose assistant's turns
    are the references.

    Args:
        path: JSON Lines or a JSON array.
        references: MT-bench's `reference_answer/*.jsonl`, where references are in a file of their own.

    Raises:
        UserError: a field is missing or has the wrong type, an id is repeated, or the file is empty.
    """
    questions: dict[str, Question] = {}
    for place, record in read_records(find_packaged(path)):
        for question in _questions(record, place):
            if question.id in questions:
                raise UserError(f"{place}: question id {question.id!r} is there twice; make the ids unique")
            questions[question.id] = question
    if not questions:
        raise UserError(f"{path}: no questions in it")
    if references is not None:
        for place, record in read_records(references):
            name = str(record.get("question_id"))
            if name in questions:
                turns = _strings(record.get("choices", [{}])[0].get("turns"), "choices[0].turns", place)
                questions[name] = replace(questions[name], references=turns)
    return list(questions.values())


def _questions(record: Record, place: str) -> list[Question]:
    category = str(record.get("category", record.get("dataset", "all")))
    name = str(record.get("question_id", record.get("id", place.rsplit("/", 1)[-1])))
    if "turns" in record:
        turns = _strings(record["turns"], "turns", place)
        references = _strings(record.get("reference") or [], "reference", place)
        if not turns or len(references) not in (0, len(turns)):
            raise UserError(f"{place}: 'turns' must not be empty, and 'reference' as long as it, if given")
        return [Question(name, category, turns, references)]
    for field in PLAIN:
        if isinstance(record.get(field), str):
            reference = record.get("reference") or []
            answers = _strings([reference] if isinstance(reference, str) else reference, "reference", place)
            return [Question(name, category, (record[field],), answers[:1])]
    if isinstance(record.get("instruction"), str):
        return _from_instruction(record, name, category)
    if isinstance(record.get("messages"), list):
        talk = Conversation.from_json(record, place).messages
        if any(one.role == "system" for one in talk) or talk[0].role != "user":
            raise UserError(f"{place}: a question starts with the user; leave out its other messages before that")
        turns, answers = (tuple(one.content for one in talk if one.role == who) for who in ("user", "assistant"))
        return [Question(name, category, turns, answers if len(answers) == len(turns) else ())]
    fields = "'turns', 'text', 'question', 'prompt', 'instruction' or 'messages'"
    raise UserError(f"{place}: no question found; expected a field {fields}")


def _from_instruction(record: Record, name: str, category: str) -> list[Question]:
    """Self-Instruct's 252 have instances with inputs and answers; AlpacaEval's output is a rival's, no reference."""
    instances: list[dict[str, Any]] = record.get("instances") or [record]
    questions = []
    for index, instance in enumerate(instances):
        text = f"{record['instruction']}\n\n{instance.get('input', '')}".strip()
        answer = None if "generator" in instance else instance.get("output")
        one = name if len(instances) == 1 else f"{name}_{index}"
        questions.append(Question(one, category, (text,), (answer,) if answer else ()))
    return questions


def _strings(value: object, field: str, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UserError(f"{place}: field {field!r} must be a list of strings, found {value!r}")
    return tuple(value)
