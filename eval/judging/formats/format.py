"""What a format of judgment files is: one frozen object that knows its records and reads them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from camelid.files.read import Record
from eval.ask.answer import API_ERROR
from eval.ask.questions import Question, QuestionTexts
from eval.judging.judgment import Judgment
from eval.judging.modes.mode import read_reply
from eval.judging.modes.table import MODES


@dataclass
class Source:
    """Where a record comes from, and what it may refer to.

    Attributes:
        path: the file.
        questions: the evaluation's, to find one by its text.
        authors: answer id -> model label.
        row: the record's place in the file, which names a question that has no id, as in `read_questions`.
    """

    path: Path
    questions: Sequence[Question] = ()
    authors: Mapping[str, str] = field(default_factory=dict)
    row: str = ""

    def __post_init__(self) -> None:
        self._texts = QuestionTexts(self.questions)

    def question_of(self, text: str, *row: str) -> str:
        """The id of the question with this text, as `QuestionTexts.find`.

        Raises:
            ValueError: there is none.
        """
        found = self._texts.find(text, *row)
        if found is None:
            raise ValueError(f"no question has the text {text[:60]!r}")
        return found


@dataclass(frozen=True, slots=True)
class JudgmentFormat:
    """A format.

    Attributes:
        called: what a report calls it, e.g. "AlpacaEval annotations".
        is_one: whether a record is in this format.
        read: the judgments in a record: one, or more where it holds both orders of a pair.
        combine: makes one judgment of what several records say of the same thing; None where each says its own.
    """

    called: str
    is_one: Callable[[Record], bool]
    read: Callable[[Record, Source], list[Judgment]]
    combine: Callable[[list[Judgment]], list[Judgment]] | None = None


def with_verdict(judgment: Judgment) -> Judgment:
    """A published judgment with the scores that its reply says; the stored ones count where there is no reply."""
    text = judgment.text.strip()
    if text == API_ERROR:
        return replace(judgment, text="", failure=f"the file says {API_ERROR}")
    return replace(judgment, scores=read_reply(MODES[judgment.mode], text, {}) if text else judgment.stored)


def text_of(record: Record, name: str) -> str:
    """A field that must be text.

    Raises:
        TypeError: it isn't.
    """
    value = record[name]
    if not isinstance(value, str):
        raise TypeError(f"field {name!r} must be text, found {value!r}")
    return value
