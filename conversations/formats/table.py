"""The formats that Camelid reads, in the order in which a record is asked whether it is one."""

from camelid.errors import UserError
from camelid.files.read import Record
from conversations.formats.alpaca import ALPACA
from conversations.formats.chatgpt import CHATGPT
from conversations.formats.conversations import CONVERSATIONS
from conversations.formats.oasst import OASST
from conversations.formats.openai import OPENAI
from conversations.formats.record_format import RecordFormat
from conversations.formats.sharegpt import SHAREGPT
from conversations.formats.wildchat import WILDCHAT

# The first that knows a record reads it: what gives much away stands before what gives little.
FORMATS: dict[str, RecordFormat] = {
    format.name: format
    for format in (
        SHAREGPT,
        CHATGPT,
        OASST,
        WILDCHAT,
        ALPACA,
        CONVERSATIONS,
        OPENAI,
    )
}


def detect_format(record: Record, place: str) -> RecordFormat:
    """The format of a record by its fields.

    Raises:
        UserError: it is of none; the error says what is read.
    """
    for format in FORMATS.values():
        if format.is_one(record):
            return format
    raise UserError(f"{place}: unknown record with fields {sorted(record)}; expected {_known_fields()}")


def count_turns(record: Record) -> int:
    """The turns of a record that cannot be read, where its shape still shows them."""
    for format in FORMATS.values():
        if format.turns and isinstance(record.get(format.turns), list):
            return len(record[format.turns])
    return 0


def _known_fields() -> str:
    """Each field that gives a format away, with what it is the field of; those of our own records first."""
    called: dict[str, list[str]] = {CONVERSATIONS.field: []}
    for format in FORMATS.values():
        called.setdefault(format.field, []).append(format.called)
    *others, last = (f"'{field}' ({', '.join(names)})" for field, names in called.items())
    return f"{', '.join(others)} or {last}"
