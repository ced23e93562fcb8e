"""Votes of Chatbot Arena: two models' chats, or their texts, and who won (Zheng et al. 2023)."""

import json
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record
from conversations.formats.chat import Chat
from conversations.formats.fields import KnownFields, list_field
from conversations.formats.preferences.answers import choose, listed_chat, writer_field
from conversations.formats.preferences.preference_format import PreferenceFormat, ReadPreference

_CHATS, _TEXTS = ("conversation_a", "conversation_b"), ("response_a", "response_b")
_WINNERS = {"model_a": -1, "model_b": 1, "tie": 0, "tie (bothbad)": 0, "both_bad": 0, "bothbad": 0}
_COLUMNS = {"winner_model_a": -1, "winner_model_b": 1, "winner_tie": 0}
_OF_VOTE = ("id", "question_id", "prompt", "winner", *_COLUMNS, "model_a", "model_b")


def _marks(record: Record) -> tuple[str, ...]:
    sides = next((sides for sides in (_CHATS, _TEXTS) if record.keys() >= set(sides)), None)
    return sides or ()


def _read(record: Record, place: str) -> list[ReadPreference]:
    name = str(record.get("id") or record.get("question_id") or place)
    if record.keys() >= set(_CHATS):
        first, second = (listed_chat(name, list_field(record, side, place), side, place) for side in _CHATS)
    else:
        first, second = (_texts_chat(record, side, name, place) for side in _TEXTS)
    models = (writer_field(record, "model_a", place), writer_field(record, "model_b", place))
    return [choose(first, second, _winner(record, place), models=models)]


def _winner(record: Record, place: str) -> int:
    """-1 for the first, 1 for the second, 0 for neither."""
    if "winner" in record:
        if record["winner"] not in _WINNERS:
            raise UserError(f"{place}: field 'winner' must be one of {', '.join(_WINNERS)}, found {record['winner']!r}")
        return _WINNERS[record["winner"]]
    won = [way for column, way in _COLUMNS.items() if record.get(column) in (1, "1", True)]
    if len(won) != 1:
        raise UserError(f"{place}: one of 'winner', {', '.join(map(repr, _COLUMNS))} must say who won")
    return won[0]


def _texts_chat(record: Record, side: str, name: str, place: str) -> Chat:
    """A chat whose questions and answers stand in two lists, of JSON in a table of texts."""
    asked, answered = (_texts(record, field, place) for field in ("prompt", side))
    if len(asked) != len(answered):
        raise UserError(f"{place}: {len(asked)} questions in 'prompt', but {len(answered)} answers in {side!r}")
    turns = [
        {"role": role, "content": text}
        for pair in zip(asked, answered, strict=True)
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    return listed_chat(name, turns, side, place)


def _texts(record: Record, field: str, place: str) -> list[Any]:
    value = record[field]
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            value = [value]
    return value if isinstance(value, list) else [value]


ARENA = PreferenceFormat(
    name="arena",
    called="Chatbot Arena votes",
    looks_like='`{"model_a", "model_b", "winner", "conversation_a", "conversation_b"}`',
    names=frozenset((*_CHATS, *_TEXTS)),
    marks=_marks,
    fields=KnownFields(frozenset((*_OF_VOTE, *_CHATS, *_TEXTS)), frozenset(("full_conversation",))),
    read=_read,
    source="human/arena",
    notes="or `prompt`, `response_a`, `response_b` with `winner_model_a` ...; a vote on several turns that differ is "
    "dropped",
)
