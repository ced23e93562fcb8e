"""Readers: a record of any known format into conversations."""

from collections.abc import Iterator
from pathlib import Path

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.files.records import read_records as read_records
from camelid.files.records import scan_records
from camelid.message import Conversation
from conversations.formats.beside import read_beside
from conversations.formats.chat import Branches, Chat
from conversations.formats.preferences.refuse import refuse_preference
from conversations.formats.record_format import PlacedRecords
from conversations.formats.table import FORMATS, detect_format


def read_conversations(path: str | Path) -> Iterator[Conversation]:
    """Read a file strictly: the first bad record is an error that names its place.

    Raises:
        UserError: the file is missing or broken, a record does not have its format's fields, or a chat has
            turns that are not text.
    """
    for place, record in scan_chats(path):
        if isinstance(record, UserError):
            raise record
        for chat in read_chats(record, place):
            if chat.lost:
                reasons = ", ".join(chat.lost)
                raise UserError(f"{place}: not text alone ({reasons}); run `camelid conversations convert` first")
            yield chat.conversation


def scan_chats(path: str | Path) -> PlacedRecords:
    """Yield `(place, record)`, one for each chat or tree of chats; what cannot be read yields its error."""
    records = scan_records(path)
    for format in FORMATS.values():
        if format.gather:
            records = format.gather(records)
    return records


def read_chats(record: Record, place: str, known: str | None = None, branches: Branches = "all") -> Iterator[Chat]:
    """Turn one record into its chats: one, or as many as its tree has branches.

    Args:
        record: the JSON object.
        place: `file:line`, for errors.
        known: the name of the format; None to detect it by the record's fields.
        branches: of a tree, every branch, or the one that its format calls the last.

    Raises:
        UserError: the record does not have its format's fields, or is preference data.
    """
    refuse_preference(record, place)
    format = FORMATS[known] if known else detect_format(record, place)
    beside = read_beside(record, format.fields, place)
    try:
        chats = format.read(record, place, branches)
        yield from beside.add_to(chats) if beside else chats
    except KeyError as error:
        raise UserError(f"{place}: no field {error} in this {format.name} record; found {sorted(record)}") from None
