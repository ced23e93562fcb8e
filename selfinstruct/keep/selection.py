"""Which tasks are kept: rules, evaluation questions, similarity to everything before; every drop has its reason."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from camelid.files.paths import short_names
from camelid.text.decontaminate import Decontaminator
from camelid.text.words import WordSplitter, rouge_tokens, unicode_tokens
from conversations.questions.read import read_question_texts
from selfinstruct.keep.near_texts import NearTexts
from selfinstruct.keep.nearness import LIMIT
from selfinstruct.keep.rouge import Similarity, SimilarTexts
from selfinstruct.keep.rules import Rules, reason_to_drop_answer
from selfinstruct.seeds import Task


class EvaluationQuestions:
    """The questions of one evaluation file, to be kept out of the records.

    Args:
        path: a file with questions; see `read_question_texts`.
        name: for the ledger.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        texts = read_question_texts(path)
        self.name = name
        self._stretches = Decontaminator(texts)
        self._near = NearTexts(texts)

    def reason_to_drop(self, text: str) -> str | None:
        """Return why a text is too near a question (12 words in a row, or ROUGE-L), or None."""
        if self._stretches.match(text):
            return f"in {self.name}: shares 12 words in a row or a whole question"
        if self._near.highest(text) > LIMIT:
            return f"in {self.name}: ROUGE-L above {LIMIT}"
        return None


def read_evaluations(paths: Iterable[str | Path]) -> list[EvaluationQuestions]:
    """The questions of evaluation files, each with a name that no other has."""
    return [EvaluationQuestions(path, name) for name, path in short_names(paths).items()]


class Selection:
    """Decides which tasks are kept, in the order they come.

    Args:
        before: instructions that new ones must differ from (the seeds).
        rules: for the instructions.
        questions: evaluation questions; nothing near one is kept.
        compat: decide as Alpaca's code: its tokens, which only ASCII text has, and no check of the answers.
        with_fields: whether similarities have an average and the nearest texts, as Alpaca's records; much slower.
    """

    def __init__(
        self,
        before: Sequence[str],
        rules: Rules,
        questions: Sequence[EvaluationQuestions] = (),
        compat: bool = False,
        with_fields: bool = True,
    ) -> None:
        tokenize: WordSplitter = rouge_tokens if compat else unicode_tokens
        self._kept = SimilarTexts(before, tokenize) if with_fields else NearTexts(before, tokenize)
        self._rules, self._questions, self._compat = rules, questions, compat

    def reason_to_drop(self, task: Task) -> str | None:
        """What is wrong with a task by itself, or None; nothing is remembered."""
        reason = self._rules.reason_to_drop(task.instruction)
        if not reason and not self._compat:
            reason = reason_to_drop_answer(task)
        return reason or self._contamination(task)

    def reason_to_drop_question(self, task: Task) -> str | None:
        """What is wrong with a task that has no output yet, or None."""
        return self._rules.reason_to_drop(task.instruction) or self._contamination(task)

    def reason_to_drop_instruction(self, instruction: str) -> str | None:
        """What is wrong with an instruction that has no answer yet, or None."""
        return self._rules.reason_to_drop(instruction)

    def look_ahead(self, instructions: Sequence[str]) -> None:
        """Compare these together, so that `compare` has little left to do for each."""
        self._kept.look_ahead(instructions)

    def compare(self, instruction: str) -> Similarity:
        """How near an instruction is to all those before."""
        return self._kept.compare(instruction)

    def add(self, instruction: str) -> None:
        """Remember an instruction that is kept."""
        self._kept.add(instruction)

    def _contamination(self, task: Task) -> str | None:
        """Which evaluation file a task is too near to, and how."""
        whole = " ".join(f"{task.instruction} {task.input}".split())
        return next(filter(None, (questions.reason_to_drop(whole) for questions in self._questions)), None)
