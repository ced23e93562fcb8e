"""The record of a preference: a prompt and two answers of which one is preferred, or one answer with a label."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.files.records import read_records
from camelid.message import Message, read_messages, read_meta, record_id

# By how much the chosen answer is better: grade 0 to 3 (LLaMA 2, Touvron et al. 2023, section 3.2.1).
GRADES = ("negligibly better", "slightly better", "better", "significantly better")


@dataclass(frozen=True, slots=True)
class AnswerText:
    """An answer as a model is trained on it or scores it.

    Attributes:
        content: the text.
        model: who wrote it; None if that is not known.
        truncated: whether it was cut off, so that its end of turn was never said.
        reasoning: what its writer thought before; kept, but neither shown to a model nor trained.
    """

    content: str
    model: str | None = None
    truncated: bool = False
    reasoning: str | None = None

    def message(self) -> Message:
        """The answer as a turn."""
        return Message("assistant", self.content, reasoning=self.reasoning, truncated=self.truncated)

    def to_json(self) -> Record:
        record: Record = {"content": self.content}
        if self.model is not None:
            record["model"] = self.model
        if self.truncated:
            record["truncated"] = True
        if self.reasoning is not None:
            record["reasoning"] = self.reasoning
        return record

    @staticmethod
    def from_json(record: Record, name: str, place: str) -> "AnswerText":
        """Read the answer in a field of a record."""
        value = record.get(name)
        if not isinstance(value, dict) or not isinstance(value.get("content"), str):
            raise UserError(
                f"{place}: field {name!r} must be an object whose 'content' is a string, found {value!r:.60}"
            )
        for key in ("model", "reasoning"):
            if not isinstance(value.get(key), str | None):
                raise UserError(f"{place}: field '{name}.{key}' must be a string, found {value[key]!r}")
        if not isinstance(value.get("truncated"), bool | None):
            raise UserError(f"{place}: field '{name}.truncated' must be true or false, found {value['truncated']!r}")
        return AnswerText(value["content"], value.get("model"), bool(value.get("truncated")), value.get("reasoning"))


@dataclass(frozen=True, slots=True)
class Safety:
    """Whether each answer of a pair is safe."""

    chosen: bool
    rejected: bool


@dataclass(frozen=True, slots=True)
class Preference:
    """Of two answers to a prompt, which one is preferred.

    Attributes:
        id: unique within its file.
        prompt: the messages before the answers; the last is the user's.
        chosen: the answer that is preferred.
        rejected: the other.
        grade: by how much, an index into `GRADES`; None if that was not asked.
        safety: whether each is safe; None if that was not asked.
        source: whose preference it is: `human/...`, such as `human/vote`, or `ai/MODEL`; empty if unknown.
        meta: anything else worth keeping.
    """

    id: str
    prompt: tuple[Message, ...]
    chosen: AnswerText
    rejected: AnswerText
    grade: int | None = None
    safety: Safety | None = None
    source: str = ""
    meta: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> Record:
        record: Record = {
            "id": self.id,
            "prompt": [message.to_json() for message in self.prompt],
            "chosen": self.chosen.to_json(),
            "rejected": self.rejected.to_json(),
            "grade": self.grade,
        }
        if self.safety is not None:
            record["safety"] = {"chosen": self.safety.chosen, "rejected": self.safety.rejected}
        return {**record, "source": self.source, "meta": self.meta}

    def labelled(self) -> "tuple[LabelledAnswer, LabelledAnswer]":
        """The pair as two answers with a label each, as KTO takes them; their ids end in `/chosen` and `/rejected`."""
        return (
            LabelledAnswer(f"{self.id}/chosen", self.prompt, self.chosen, True, self.source, self.meta),
            LabelledAnswer(f"{self.id}/rejected", self.prompt, self.rejected, False, self.source, self.meta),
        )


@dataclass(frozen=True, slots=True)
class LabelledAnswer:
    """One answer to a prompt, and whether it is wanted (KTO, Ethayarajh et al. 2024).

    Attributes:
        id, prompt, source, meta: as of a `Preference`.
        answer: the answer.
        label: whether it is wanted.
    """

    id: str
    prompt: tuple[Message, ...]
    answer: AnswerText
    label: bool
    source: str = ""
    meta: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> Record:
        return {
            "id": self.id,
            "prompt": [message.to_json() for message in self.prompt],
            "answer": self.answer.to_json(),
            "label": self.label,
            "source": self.source,
            "meta": self.meta,
        }


PreferenceRecord = Preference | LabelledAnswer


def is_preference(record: Record) -> bool:
    """Whether a record is one of ours, by its fields."""
    return isinstance(record.get("prompt"), list) and any(
        all(isinstance(record.get(name), dict) for name in names) for names in (("chosen", "rejected"), ("answer",))
    )


def parse_preference(record: Record, place: str) -> PreferenceRecord:
    """One record of a preference file.

    Args:
        record: the JSON object: of a pair, or, if it has `answer`, of an answer with a label.
        place: `file:line`, for errors.

    Raises:
        UserError: a field is missing or no such thing as it must be.
    """
    prompt = read_prompt(record, place)
    name, source, meta = record_id(record, place), record.get("source", ""), read_meta(record, place)
    if not isinstance(source, str):
        raise UserError(f"{place}: field 'source' must be a string, found {source!r}")
    if "answer" in record:
        label = record.get("label")
        if not isinstance(label, bool):
            raise UserError(f"{place}: field 'label' must be true or false, found {label!r}")
        return LabelledAnswer(name, prompt, AnswerText.from_json(record, "answer", place), label, source, meta)
    grade = record.get("grade")
    if grade is not None and (isinstance(grade, bool) or grade not in range(len(GRADES))):
        raise UserError(f"{place}: field 'grade' must be from 0 to {len(GRADES) - 1}, or null, found {grade!r}")
    chosen, rejected = (AnswerText.from_json(record, side, place) for side in ("chosen", "rejected"))
    grade = None if grade is None else int(grade)
    return Preference(name, prompt, chosen, rejected, grade, _read_safety(record, place), source, meta)


def read_prompt(record: Record, place: str) -> tuple[Message, ...]:
    """The messages of `prompt`, of which the last must be the user's."""
    prompt = read_messages(record, "prompt", place)
    if prompt[-1].role != "user":
        raise UserError(f"{place}: the last message of 'prompt' must be the user's, found {prompt[-1].role!r}")
    return prompt


def prompt_key(prompt: tuple[Message, ...]) -> str:
    """A text that two prompts share if, and only if, they have the same roles and contents."""
    return json.dumps([[message.role, message.content] for message in prompt], ensure_ascii=False)


def _read_safety(record: Record, place: str) -> Safety | None:
    value = record.get("safety")
    if value is None:
        return None
    sides = tuple(value.get(side) for side in ("chosen", "rejected")) if isinstance(value, dict) else ()
    if len(sides) != 2 or not all(isinstance(side, bool) for side in sides):
        raise UserError(
            f"{place}: field 'safety' must be {{chosen, rejected}}, each true or false, found {value!r:.60}"
        )
    return Safety(bool(sides[0]), bool(sides[1]))


def read_preferences(path: str | Path) -> Iterator[PreferenceRecord]:
    """Read a preference file strictly, pairs and answers with labels: the first bad record is an error.

    Raises:
        UserError: the file is missing or broken, or a record is no preference (with file, line and field).
    """
    for place, record in read_records(path):
        yield parse_preference(record, place)


def read_pairs(path: str | Path) -> Iterator[Preference]:
    """Read a preference file of pairs alone.

    Raises:
        UserError: as `read_preferences`; or a record is an answer with a label.
    """
    for place, record in read_records(path):
        read = parse_preference(record, place)
        if isinstance(read, LabelledAnswer):
            raise UserError(
                f"{place}: one answer with a label, where pairs are needed (fields 'chosen' and 'rejected')"
            )
        yield read


def read_labels(path: str | Path) -> Iterator[LabelledAnswer]:
    """Read a preference file as answers with labels; a pair is two of them.

    Raises:
        UserError: as `read_preferences`.
    """
    for read in read_preferences(path):
        if isinstance(read, LabelledAnswer):
            yield read
        else:
            yield from read.labelled()
