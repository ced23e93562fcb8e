"""Requests as the input files of OpenAI's Batch API hold them."""

from collections.abc import Iterator

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import record_id
from conversations.formats.beside import read_beside
from conversations.formats.chat import Branches, Chat
from conversations.formats.fields import KnownFields
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import TurnList

_TURNS = TurnList("messages")
_OF_BODY = KnownFields(frozenset(("messages",)))


def _is_one(record: Record) -> bool:
    body = record.get("body")
    return isinstance(body, dict) and "messages" in body


def _read(record: Record, place: str, branches: Branches) -> Iterator[Chat]:
    body, where = record["body"], f"{place}: body"
    if not isinstance(body, dict):
        raise UserError(f"{place}: field 'body' must be an object, found {type(body).__name__}")
    name = record_id(record, str(record.get("custom_id") or place))
    chat = _TURNS.read({**body, "id": name}, where)
    beside = read_beside(body, _OF_BODY, where)
    yield from beside.add_to([chat]) if beside else [chat]


BATCH_INPUT = RecordFormat(
    name="openai-batch",
    called="OpenAI batch input",
    field="body",
    looks_like='`{"custom_id", "body": {"messages": [{"role", "content"}]}}`',
    fields=KnownFields(frozenset(("id", "body")), frozenset(("method", "url"))),
    is_one=_is_one,
    read=_read,
    notes="requests of the Batch API; without an answer the last question goes",
)
