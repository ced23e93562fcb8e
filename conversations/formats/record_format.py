"""What Camelid knows of a format that chats come in: one `RecordFormat` for each, in a file of its own."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from camelid.errors import UserError
from camelid.files.read import Record
from conversations.formats.chat import Branches, Chat
from conversations.formats.fields import KnownFields

# Records as a file is read: each with its place (`file:line`); what cannot be read is its error.
PlacedRecords = Iterator[tuple[str, Record | UserError]]


@dataclass(frozen=True)
class RecordFormat:
    """A shape of record.

    Attributes:
        name: what `--format` calls it.
        called: what errors call it.
        field: the field that gives its records away, as the error for an unknown record names it.
        looks_like: what its records look like; Markdown, for the table in docs/conversations.md.
        fields: the record's fields that `read` takes care of. What may stand beside them in any format is read for
            all of them (`conversations/formats/beside.py`), and whatever else there is goes to `meta`.
        is_one: whether a record is one, by its fields. Asked for every record, so it must be cheap.
        read: the chats of a record, given its place for errors: one, or of a tree its branches. It may leave a
            missing field to `KeyError`; whatever else is wrong with the record is a `UserError`.
        notes: what else that table says of it; Markdown.
        turns: the field that lists a record's turns, by which those of an unreadable one are counted; None if
            there is none.
        last_branch: of a tree, what `--branches last` reads, such as `best ranked`; None if a record is one chat.
        gather: puts records that are one chat only together into one, and passes all others through; None if a
            record stands for itself.
    """

    name: str
    called: str
    field: str
    looks_like: str
    fields: KnownFields
    is_one: Callable[[Record], bool]
    read: Callable[[Record, str, Branches], Iterable[Chat]]
    notes: str = ""
    turns: str | None = None
    last_branch: str | None = None
    gather: Callable[[PlacedRecords], PlacedRecords] | None = None
