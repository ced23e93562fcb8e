"""Prompts that answers are sampled to, from whatever file asks something."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from camelid.errors import UserError
from camelid.files.paths import find_packaged
from camelid.files.read import Record
from camelid.files.records import read_records
from camelid.message import Message, read_meta, record_id
from conversations.preference import read_prompt
from conversations.questions.fields import text_at
from conversations.questions.read import posed_in
from conversations.unique_ids import unique_id


@dataclass(frozen=True, slots=True)
class PromptToAnswer:
    """What comes before an answer.

    Attributes:
        id: unique within its file; the same in every round of sampling.
        messages: the last is the user's.
        meta: of its record (`is_safety`, `category`, ...).
    """

    id: str
    messages: tuple[Message, ...]
    meta: dict[str, Any]


def read_prompts(path: str | Path) -> Iterator[PromptToAnswer]:
    """Read the prompts of a file: of candidates and preferences their `prompt`, of chats in any format what comes
    before the last answer, of question files the question.

    Raises:
        UserError: the file is missing or broken, or a record asks nothing that one answer could follow.
    """
    ids: set[str] = set()
    for place, record in read_records(find_packaged(path)):
        for prompt in prompts_in(record, place):
            yield replace(prompt, id=unique_id(prompt.id, ids))
    if not ids:
        raise UserError(f"{path}: no prompts in it")


def prompts_in(record: Record, place: str) -> Iterator[PromptToAnswer]:
    """The prompts of one record; `place` is `file:line`, for errors. Their ids are those of the record."""
    for name, messages in _asked(record, place):
        yield PromptToAnswer(name, messages, _meta(record, place))


def _asked(record: Record, place: str) -> Iterator[tuple[str, tuple[Message, ...]]]:
    if isinstance(record.get("prompt"), list):
        yield record_id(record, place.rsplit("/", 1)[-1]), read_prompt(record, place)
        return
    for posed in posed_in(record, place, "last"):
        system = text_at(posed.system or "", "system", place)
        messages = [Message("system", system)] if system else []
        messages += posed.talk
        while messages and messages[-1].role == "assistant":
            messages.pop()
        if not messages or messages[-1].role != "user":
            raise UserError(f"{place}: nothing that the user asks; a prompt ends with the user's turn")
        if any(one.role == two.role == "user" for one, two in pairwise(messages)):
            raise UserError(f"{place}: a follow-up without the answer before it; give the chat with its answers")
        yield posed.id, tuple(messages)


def _meta(record: Record, place: str) -> dict[str, Any]:
    return read_meta(record, place) if isinstance(record.get("meta"), dict) else {}
