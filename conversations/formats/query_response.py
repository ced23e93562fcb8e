"""ms-swift's records, and MetaMath's: a query, its response, and perhaps the exchanges before."""

from camelid.files.read import Record
from camelid.message import record_id
from conversations.formats.chat import Branches, Chat, make_chat
from conversations.formats.fields import KnownFields
from conversations.formats.history import read_history
from conversations.formats.record_format import RecordFormat
from conversations.formats.turns import read_field


def _read(record: Record, place: str, branches: Branches) -> list[Chat]:
    turns = (
        *read_history(record.get("history"), place),
        read_field("user", record, "query", place),
        read_field("assistant", record, "response", place),
    )
    return [make_chat(record_id(record, place), turns, {})]


QUERY_RESPONSE = RecordFormat(
    name="query-response",
    called="query and response",
    field="query",
    looks_like='`{"query", "response", "history"}`',
    fields=KnownFields(frozenset(("id", "query", "response", "history"))),
    is_one=lambda record: "query" in record and "response" in record,
    read=_read,
    notes="ms-swift, MetaMath; `history` becomes earlier turns",
)
