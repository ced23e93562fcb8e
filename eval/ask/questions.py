"""Evaluation questions from our own and the published files."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from camelid.errors import UserError
from camelid.message import Message
from conversations.questions.fields import first_choice, text_at, texts_at
from conversations.questions.read import PosedQuestion, no_questions_error, read_posed
from conversations.questions.records import read_file_records
from eval.ask.code_task import CodeTask


@dataclass(frozen=True, slots=True)
class Question:
    """One question, possibly with follow-ups.

    Attributes:
        id: unique within the set.
        category: for the tables and for the sampling temperature.
        turns: what the user says, turn by turn.
        references: the right answer to each turn; empty where there is none.
        system: the system message before the first turn; empty if there is none.
        task: of a question whose answers are run. Its turns are then samples: the same, asked each time anew.
        continued: a base model goes on with the task's code, or fills its hole, instead of being asked.
    """

    id: str
    category: str
    turns: tuple[str, ...]
    references: tuple[str, ...] = ()
    system: str = ""
    task: CodeTask | None = None
    continued: bool = False


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
    """Read a question file in any of the shapes of `conversations.questions.read.read_posed`.

    References are in `reference`, in the output of an instruction, in the target of an Inspect log, or are the
    assistant's turns of a conversation.

    Args:
        path: see `read_posed`; of trees the last branch is asked.
        references: MT-bench's `reference_answer/*.jsonl`, where references are in a file of their own.

    Raises:
        UserError: a field is missing or has the wrong type, an id is repeated, or the file is empty.
    """
    questions: dict[str, Question] = {}
    for place, posed in read_posed(path, "last"):
        if posed.id in questions:
            raise UserError(f"{place}: question id {posed.id!r} is there twice; make the ids unique")
        questions[posed.id] = _asked(posed, place)
    if not questions:
        raise no_questions_error(path)
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


def _asked(posed: PosedQuestion, place: str) -> Question:
    """The question as it is put to a model."""
    right = [posed.reference] if isinstance(posed.reference, str) and posed.reference else posed.reference or []
    references, system = texts_at(right, "reference", place), text_at(posed.system or "", "system", place)
    if posed.whole:
        turns = (_one_text(posed.talk) or "(The file does not say what was asked.)",)
        return Question(posed.id, posed.category, turns, references, system)
    if not posed.talk or posed.talk[0].role != "user" or any(one.role == "system" for one in posed.talk):
        raise UserError(f"{place}: a question starts with the user, after a system message if there is one")
    if len(references) not in (0, len(posed.said)):
        counts = f"has {len(references)} texts for {len(posed.said)} turns"
        raise UserError(f"{place}: field 'reference' {counts}; make 'reference' as long as it, or leave it out")
    answers = tuple(one.content for one in posed.talk if one.role == "assistant")
    answered = answers if len(answers) == len(posed.said) else ()
    return Question(posed.id, posed.category, posed.said, references or answered, system)


def _one_text(talk: Sequence[Message]) -> str:
    """A conversation before the answer as one text; who speaks is named where it isn't the user alone."""
    if all(message.role == "user" for message in talk):
        return "\n\n".join(message.content for message in talk)
    return "\n\n".join(f"{message.role.upper()}: {message.content}" for message in talk)
