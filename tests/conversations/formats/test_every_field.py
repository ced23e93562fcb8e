"""No field is passed over: it becomes part of the conversation, goes to `meta` and is counted, or is refused by name.

Every field that any format knows, and some that none does, is dropped into records of every format.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from camelid.errors import UserError
from camelid.files.records import read_records
from camelid.message import Message
from conversations.formats.beside import SYSTEM
from conversations.formats.chat import Chat
from conversations.formats.media import MEDIA_FIELDS
from conversations.formats.readers import read_chats
from conversations.formats.table import FORMATS, detect_format
from conversations.formats.turns import TURN
from conversations.formats.weights import WEIGHTS
from tests.conversations.formats.test_table import ROWS

PREFERENCE = ("chosen", "rejected", "chosen_response", "rejected_response", "label", "kto_tag")
REASONING = frozenset(("reasoning_content", "reasoning", "thinking"))
UNKNOWN = ("source", "score", "tools", "timestamp", "toxic", "redacted", "openai_moderation", "turn", "x", "meta")
KNOWN = {name for format in FORMATS.values() for name in format.fields.known}
RECORD_FIELDS = sorted({*KNOWN, *SYSTEM, *WEIGHTS, *MEDIA_FIELDS, *PREFERENCE, *UNKNOWN})
TURN_FIELDS = sorted({*TURN.known, "reasoning_content", "reasoning", "thinking", "name", "id", *UNKNOWN})
VALUES = st.sampled_from(
    ["word", "1", "", "<image>", 0, 1, 0.5, 7, -1, True, False, None, [], {}, {"a": 1}]
) | st.lists(
    st.sampled_from(["word", 1, None, {"text": "word"}, {"role": "user", "content": "word"}, ["a", "b"]]), max_size=2
)
FIELDS = st.dictionaries(st.sampled_from(RECORD_FIELDS), VALUES, max_size=5)
IN_TURNS = st.dictionaries(st.sampled_from(TURN_FIELDS), VALUES, max_size=4)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(list(FORMATS)),
    fields=FIELDS,
    in_turns=IN_TURNS,
    turn=st.integers(0, 1),
    named=st.booleans(),
)
@example("sharegpt", {}, {"weight": 0}, 1, False)
@example("openai", {"system": "word", "train": False}, {"name": "word"}, 0, False)
def test_no_field_is_passed_over(
    name: str, fields: dict[str, Any], in_turns: dict[str, Any], turn: int, named: bool
) -> None:
    base = copy.deepcopy(ROWS[name].record)
    record = {**fields, **base}
    added = {key: value for key, value in fields.items() if key not in base}
    listed = FORMATS[name].turns
    turns = record[listed] if listed else []
    added_to_turn: dict[str, Any] = {}
    mapped = TURN.mapped | REASONING
    if turns and isinstance(turns[turn % len(turns)], dict):
        paired = len(turns) == 1  # of a question and its answer, which the fields belong to
        mapped = WEIGHTS | MEDIA_FIELDS if paired else mapped
        turn = 1 if paired else turn
        place = 0 if paired else turn
        added_to_turn = {key: value for key, value in in_turns.items() if key not in turns[place]}
        turns[place] = {**added_to_turn, **turns[place]}
    before = json.dumps(record)
    try:
        format = FORMATS[name] if named else detect_format(record, "x")
        chats = list(read_chats(record, "x", name if named else None))
    except UserError as error:
        assert "\n" not in str(error)
        return
    assert json.dumps(record) == before
    if format.name != name:
        return  # what was added made it a record of another format
    for chat in chats:
        for key, value in added.items():
            check_record_field(chat, key, value, format.fields.known)
        for key, value in added_to_turn.items():
            if key in mapped:
                check_mapped_turn_field(chat, turn, key, value)
            else:
                check_other_turn_field(chat, turn, listed or "", key, value)


def check_record_field(chat: Chat, key: str, value: Any, known: frozenset[str]) -> None:
    messages, meta = chat.conversation.messages, chat.conversation.meta
    assert key not in PREFERENCE or not (value is True or (key in PREFERENCE[:4] and value)), "preference data was read"
    if key in known or value in (None, "", [], {}):
        return
    if key in SYSTEM:
        assert messages and messages[0].role == "system" and texts(value) in messages[0].content
    elif key in WEIGHTS:
        assert all(one.weight is not None and one.weight <= value for one in messages if one.role == "assistant")
    elif key == "meta":
        assert is_kept(meta, "a", value["a"])
    else:
        assert key not in MEDIA_FIELDS or not value or (chat.lost and not any(one.role == "user" for one in messages))
        named = value in (chat.conversation.id, meta.get("tree"))
        assert named or (is_kept(meta, key, value) and chat.set_aside[key] == 1)


def turn_of(chat: Chat, turn: int) -> Message | None:
    """A turn of the only exchange; None if that is lost, and counted."""
    messages = [one for one in chat.conversation.messages if one.role != "system"]
    assert len(messages) == 2 or chat.lost.total() == 2, "a turn is gone without a word"
    return messages[turn] if len(messages) == 2 else None


def check_mapped_turn_field(chat: Chat, turn: int, key: str, value: Any) -> None:
    message = turn_of(chat, turn)
    if message is None or value in (None, "", [], {}):
        return
    if key in WEIGHTS:
        assert message.weight is not None and message.weight <= value
    elif key in REASONING and isinstance(value, str):
        assert value in (message.reasoning or "")
    elif key in REASONING:
        assert is_kept(message.meta, key, value)
    elif key == "truncated":
        assert message.truncated is value
    else:
        assert not value or key in ("prefix", "partial"), "an image or a call of a tool went by"


def check_other_turn_field(chat: Chat, turn: int, listed: str, key: str, value: Any) -> None:
    message = turn_of(chat, turn)
    if message is None or value in (None, "", [], {}):
        return
    if key == "meta" and isinstance(value, dict):
        assert is_kept(message.meta, "a", value["a"]) or is_kept(message.meta, key, value)
    elif value not in (message.content, message.role):  # said once more
        assert is_kept(message.meta, key, value) and chat.set_aside[f"{listed}[].{key}"] == 1


def is_kept(meta: dict[str, Any], key: str, value: Any) -> bool:
    return any(name.split("#")[0] == key and held == value for name, held in meta.items())


def texts(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "".join(part if isinstance(part, str) else part.get("text", part.get("content")) for part in value)


WRONG: list[Any] = [
    None,
    "word",
    "",
    0,
    1.5,
    float("nan"),
    True,
    [],
    [[]],
    {},
    {"a": 1},
    [None],
    ["word", {}],
    [{"a": {}}],
]


EXPORTS = Path(__file__).parents[1] / "exports"
ROWS_OF_SETS = EXPORTS.parent / "cases" / "rows_variants.jsonl"
RICH = [
    {"instruction": "Why?", "input": "", "output": "Because.", "history": [["Who?", "I."]], "system": "Be brief."},
    *(record for path in sorted((*EXPORTS.iterdir(), ROWS_OF_SETS)) for _, record in read_records(path)),
]


@pytest.mark.parametrize("name", FORMATS)
def test_a_value_of_any_type_is_read_or_named(name: str) -> None:
    """Wherever it stands in a record, whether the format is named or found out, and in a record of another format."""
    for record in wrong_records(ROWS[name].record):
        for known in (None, *FORMATS):
            read_or_named(record, known)


def test_a_value_of_any_type_in_a_rich_record() -> None:
    for rich in RICH:  # with fewer types, for it has hundreds of places
        name = next((format.name for format in FORMATS.values() if format.is_one(rich)), None)
        for record in wrong_records(rich, [None, "word", 7, [[]], {"a": 1}]):
            read_or_named(record, name)


def read_or_named(record: dict[str, Any], known: str | None) -> None:
    try:
        list(read_chats(record, "a.jsonl:1", known))
    except UserError as error:
        assert str(error).startswith("a.jsonl:1") and "\n" not in str(error)


def wrong_records(record: dict[str, Any], wrong_values: list[Any] = WRONG) -> Iterator[dict[str, Any]]:
    """A record with one value of another type, for each of its values and many types."""
    for path in places(record):
        for value in wrong_values:
            wrong = copy.deepcopy(record)
            put(wrong, path, value)
            yield wrong


def places(value: Any) -> list[tuple[Any, ...]]:
    """The ways to everything that a JSON value holds."""
    inside = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    return [path for key, item in inside for path in ((key,), *((key, *rest) for rest in places(item)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new
