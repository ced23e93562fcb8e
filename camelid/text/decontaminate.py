"""Keeps evaluation questions out of training data."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.records import read_records
from camelid.message import Conversation

NGRAM = 12  # words in a row, a common choice for web-scale data (13 in Brown et al. 2020, GPT-3, appendix C)


class Decontaminator:
    """Finds training text that contains a question, or a long stretch of one.

    A question of fewer than `NGRAM` words matches only as a whole; a longer one matches where any
    `NGRAM` of its words appear in a row. Case, punctuation and white space don't count.
    """

    def __init__(self, questions: Iterable[str]) -> None:
        self._stretches: dict[tuple[str, ...], str] = {}
        for question in questions:
            words = _words(question)
            size = min(NGRAM, len(words))
            for start in range(len(words) - size + 1):
                if size:
                    self._stretches.setdefault(tuple(words[start : start + size]), question)
        self._sizes = sorted({len(stretch) for stretch in self._stretches})

    def match(self, text: str) -> str | None:
        """Return the question that `text` contains a stretch of, or None."""
        words = _words(text)
        for size in self._sizes:
            for start in range(len(words) - size + 1):
                found = self._stretches.get(tuple(words[start : start + size]))
                if found is not None:
                    return found
        return None


@dataclass(frozen=True)
class KeepOutQuestions:
    """The decontamination step: a user turn that contains a question drops the conversation."""

    questions: Decontaminator

    def __call__(self, conversation: Conversation, turns: Ledger) -> Conversation | str:
        if any(message.role == "user" and self.questions.match(message.content) for message in conversation.messages):
            return "contains an evaluation question"
        return conversation


def read_question_texts(path: str | Path) -> list[str]:
    """The question texts of an evaluation file: fields `turns`, `text` or `instruction` (+ `instances`)."""
    texts = []
    for place, record in read_records(path):
        texts += _question_texts(record, place)
    return texts


def _question_texts(record: dict[str, Any], place: str) -> list[str]:
    if isinstance(record.get("turns"), list):
        return [str(turn) for turn in record["turns"]]
    if isinstance(record.get("text"), str):
        return [record["text"]]
    if isinstance(record.get("instruction"), str):
        inputs = [str(instance.get("input", "")) for instance in record.get("instances", [record])]
        return [f"{record['instruction']} {text}".strip() for text in inputs]
    raise UserError(f"{place}: no question found; expected a field 'turns', 'text' or 'instruction'")


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
