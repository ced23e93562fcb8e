"""Candidates: a prompt with several answers that a model sampled, and what each is worth."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.files.records import read_records
from camelid.files.write import write_jsonl
from camelid.message import Message, read_meta, record_id
from conversations.preference import AnswerText, read_prompt


@dataclass(frozen=True, slots=True)
class SampledAnswer:
    """One of the answers to a prompt.

    Attributes:
        content: the text.
        model: who wrote it; empty if unknown.
        temperature: it was sampled at; None if unknown.
        finish_reason: `stop`, or `length` if it was cut off; empty if unknown.
        scores: what it is worth, by the name of whoever scored it (`helpful`, `safe`, `quality`): a reward, which is a
            logit. Empty if nobody has.
        ids: its tokens as they were sampled, the end token included; None if unknown.
        context: what the model was told besides the prompt when it wrote this (context distillation); empty if nothing.
    """

    content: str
    model: str = ""
    temperature: float | None = None
    finish_reason: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    ids: tuple[int, ...] | None = None
    context: str = ""

    @property
    def truncated(self) -> bool:
        """Whether it was cut off, so that its end of turn was never said."""
        return self.finish_reason == "length"

    def text(self) -> AnswerText:
        """The answer as it is trained."""
        return AnswerText(self.content, self.model or None, self.truncated)

    def to_json(self) -> Record:
        record: Record = {
            "content": self.content,
            "model": self.model,
            "temperature": self.temperature,
            "finish_reason": self.finish_reason,
        }
        if self.ids is not None:
            record["ids"] = list(self.ids)
        if self.context:
            record["context"] = self.context
        return {**record, "scores": self.scores}


@dataclass(frozen=True, slots=True)
class Candidates:
    """A prompt with its answers.

    Attributes:
        id: of the prompt: the same in every round of sampling.
        prompt: the messages before the answers; the last is the user's.
        answers: at least one.
        meta: anything else worth keeping (`is_safety`, the instruction of a `ghost`, ...).
    """

    id: str
    prompt: tuple[Message, ...]
    answers: tuple[SampledAnswer, ...]
    meta: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> Record:
        return {
            "id": self.id,
            "prompt": [message.to_json() for message in self.prompt],
            "answers": [answer.to_json() for answer in self.answers],
            "meta": self.meta,
        }


def read_candidates(path: str | Path) -> Iterator[Candidates]:
    """Read a file of candidates strictly: the first bad record is an error.

    Raises:
        UserError: the file is missing or broken, or a record has no prompt or no answers (with file, line and field).
    """
    for place, record in read_records(path):
        yield parse_candidates(record, place)


def write_candidates(path: str | Path, candidates: Iterable[Candidates]) -> int:
    """Write a file of candidates atomically; return how many there are."""
    return write_jsonl(path, (one.to_json() for one in candidates))


def parse_candidates(record: Record, place: str) -> Candidates:
    """One record of a file of candidates; `place` is `file:line`, for errors."""
    prompt, answers = read_prompt(record, place), record.get("answers")
    if not isinstance(answers, list) or not answers:
        raise UserError(f"{place}: field 'answers' must be a non-empty list of objects with 'content'")
    read = tuple(_read_answer(answer, f"{place}: answers[{index}]") for index, answer in enumerate(answers))
    return Candidates(record_id(record, place), prompt, read, read_meta(record, place))


def _read_answer(answer: object, where: str) -> SampledAnswer:
    if not isinstance(answer, dict) or not isinstance(answer.get("content"), str):
        raise UserError(f"{where} must be an object whose 'content' is a string, found {answer!r:.60}")
    for name in ("model", "finish_reason", "context"):
        if not isinstance(answer.get(name), str | None):
            raise UserError(f"{where}.{name} must be a string, found {answer[name]!r}")
    temperature, ids, scores = answer.get("temperature"), answer.get("ids"), answer.get("scores") or {}
    if temperature is not None and not _is_number(temperature):
        raise UserError(f"{where}.temperature must be a number, found {temperature!r}")
    if ids is not None and not (isinstance(ids, list) and all(type(one) is int and one >= 0 for one in ids)):
        raise UserError(f"{where}.ids must be a list of token ids, found {ids!r:.60}")
    if not isinstance(scores, dict) or not all(map(_is_number, scores.values())):
        raise UserError(f"{where}.scores must be an object of finite numbers, found {scores!r:.60}")
    return SampledAnswer(
        answer["content"],
        answer.get("model") or "",
        temperature,
        answer.get("finish_reason") or "",
        {name: float(score) for name, score in scores.items()},
        None if ids is None else tuple(ids),
        answer.get("context") or "",
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
