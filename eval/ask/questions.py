"""Evaluation questions from our own and the published files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.paths import find_packaged
from camelid.files.read import Record
from conversations.formats.readers import read_chats
from conversations.formats.table import detect_format
from eval.ask.fields import first_choice, text_at, texts_at
from eval.ask.records import INSPECT, content_text, inspect_id, read_file_records

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
    for place, record in read_file_records(find_packaged(path)):
        for question in _questions(record, place):
            if question.id in questions:
                raise UserError(f"{place}: question id {question.id!r} is there twice; make the ids unique")
            questions[question.id] = question
    if not questions:
        raise UserError(f"{path}: no questions in it")
    if references is not None:
        _add_references(questions, references)
    return list(questions.values())


def _add_references(questions: dict[str, Question], path: str | Path) -> None:
    """Give the questions MT-bench's references; those of questions that aren't asked are left alone."""
    found = 0
    for place, record in read_file_records(path):
        if "question_id" not in record:
            raise UserError(f"{place}: not a reference answer; needs question_id and choices[0].turns")
        name, right = str(record["question_id"]), first_choice(record, place)
        if name in questions:
            asked = len(questions[name].turns)
            if len(right) < asked:
                raise UserError(
                    f"{place}: field 'choices[0].turns' has {len(right)} of the {asked} references to question "
                    f"{name!r}; give one for each turn"
                )
            questions[name] = replace(questions[name], references=right[:asked])
            found += 1
    if not found:
        raise UserError(f"{path}: holds no reference to any of the questions; their question_id must be the same")


def _questions(record: Record, place: str) -> list[Question]:
    category = str(record.get("category", record.get("dataset", record.get("primary_tag", "all"))))
    name = question_name(record, place)
    system = text_at(record.get("system") or "", "system", place)
    if INSPECT in record:
        return [_from_log(record, place)]
    if "orig_instruction" in record:
        right = record.get("orig_reference_answer")
        text = text_at(record["orig_instruction"], "orig_instruction", place)
        return [Question(name, category, (text,), (right,) if isinstance(right, str) and right else ())]
    if "conversation_input" in record:
        return [Question(name, category, (_flat(record["conversation_input"], place),), (), system)]
    if "conversation_a" in record:  # a vote: both models got the same user's turns
        talk = record["conversation_a"]
        asked = [one.get("content") for one in talk if isinstance(one, dict) and one.get("role") == "user"]
        return [Question(name, category, ("\n\n".join(texts_at(asked, "conversation_a", place)),), (), system)]
    if {"model_a", "model_b", "winner"} <= record.keys():
        return [Question(name, category, ("(The file does not say what was asked.)",))]
    if "turns" in record:
        turns = texts_at(record["turns"], "turns", place)
        references = texts_at(record.get("reference") or [], "reference", place)
        if not turns or len(references) not in (0, len(turns)):
            raise UserError(f"{place}: 'turns' must not be empty, and 'reference' as long as it, if given")
        return [Question(name, category, turns, references, system)]
    for field in PLAIN:
        if isinstance(record.get(field), str):
            reference = record.get("reference") or []
            answers = texts_at([reference] if isinstance(reference, str) else reference, "reference", place)
            return [Question(name, category, (record[field],), answers[:1], system)]
    if isinstance(record.get("instruction"), str):
        return _from_instruction(record, name, category, system)
    return _from_chat(record, place, name, category)


def question_name(record: Record, place: str) -> str:
    """What a record calls its question, or else where it is."""
    own = (record.get(name) for name in ("question_id", "id", "uid", "session_id", "key"))
    return str(next((value for value in own if value is not None), place.rsplit("/", 1)[-1]))


def _flat(talk: object, place: str) -> str:
    """WildBench's conversation before the answer, as one text where it has more than the user's question."""
    if not isinstance(talk, list) or not talk or not all(isinstance(one, dict) for one in talk):
        raise UserError(f"{place}: field 'conversation_input' must be a list of messages")
    texts = texts_at([one.get("content") for one in talk], "conversation_input", place)
    if len(talk) == 1:
        return texts[0]
    return "\n\n".join(f"{str(one.get('role')).upper()}: {text}" for one, text in zip(talk, texts, strict=True))


def _from_log(sample: Record, place: str) -> Question:
    """An Inspect sample: what was asked, and its target."""
    asked = sample.get("input")
    talk = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    systems = [content_text(one.get("content"), sample) for one in talk if one.get("role") == "system"]
    turns = [content_text(one.get("content"), sample) for one in talk if one.get("role") == "user"]
    target = sample.get("target")
    right = "\n".join(str(one) for one in target) if isinstance(target, list) else str(target or "")
    text = "\n\n".join(turns)
    if not text:
        raise UserError(f"{place}: field 'input' holds nothing that a user asked")
    category = str(sample[INSPECT].get("task", "all"))
    return Question(inspect_id(sample), category, (text,), (right,) if right else (), "\n\n".join(systems))


def _from_chat(record: Record, place: str, name: str, category: str) -> list[Question]:
    """A conversation in any format that training reads; the assistant's turns are the references."""
    try:
        format = detect_format(record, place)
    except UserError:
        fields = "'turns', 'text', 'question', 'prompt', 'instruction' or a conversation's"
        raise UserError(f"{place}: no question found; expected a field {fields}") from None
    chats = list(read_chats(record, place, format.name, "last"))
    if not chats or chats[0].lost:
        raise UserError(f"{place}: not text alone ({', '.join(chats[0].lost) if chats else 'no turns'}): no question")
    talk = chats[0].conversation.messages
    system, talk = (talk[0].content, talk[1:]) if talk[0].role == "system" else ("", talk)
    if not talk or talk[0].role != "user" or any(one.role == "system" for one in talk):
        raise UserError(f"{place}: a question starts with the user, after a system message if there is one")
    turns, answers = (tuple(one.content for one in talk if one.role == who) for who in ("user", "assistant"))
    return [Question(name, category, turns, answers if len(answers) == len(turns) else (), system)]


def _from_instruction(record: Record, name: str, category: str, system: str) -> list[Question]:
    """Self-Instruct's 252 have instances with inputs and answers; AlpacaEval's output is a rival's, no reference."""
    instances: list[dict[str, Any]] = record.get("instances") or [record]
    questions = []
    for index, instance in enumerate(instances):
        text = f"{record['instruction']}\n\n{instance.get('input') or ''}".strip()
        answer = None if "generator" in instance else instance.get("output")
        one = name if len(instances) == 1 else f"{name}_{index}"
        questions.append(Question(one, category, (text,), (str(answer),) if answer else (), system))
    return questions
