"""The formats that Camelid reads, in the order in which a record is asked whether it is one."""

from camelid.errors import UserError
from camelid.files.read import Record
from conversations.formats.alpaca import ALPACA
from conversations.formats.batch_input import BATCH_INPUT
from conversations.formats.capybara import CAPYBARA
from conversations.formats.chatgpt import CHATGPT
from conversations.formats.claude import CLAUDE
from conversations.formats.conversations import CONVERSATIONS
from conversations.formats.dolly import DOLLY
from conversations.formats.oa_instructions import OA_INSTRUCTIONS
from conversations.formats.oasst import OASST
from conversations.formats.open_orca import OPEN_ORCA
from conversations.formats.openai import OPENAI
from conversations.formats.prompt_completion import PROMPT_COMPLETION
from conversations.formats.query_response import QUERY_RESPONSE
from conversations.formats.record_format import RecordFormat
from conversations.formats.sharegpt import SHAREGPT
from conversations.formats.ultrachat import ULTRACHAT
from conversations.formats.wildchat import WILDCHAT

# The first that knows a record reads it: what gives much away stands before what gives little.
FORMATS: dict[str, RecordFormat] = {
    format.name: format
    for format in (
        SHAREGPT,
        CHATGPT,
        CLAUDE,
        OASST,
        CAPYBARA,
        WILDCHAT,
        ALPACA,
        DOLLY,
        CONVERSATIONS,
        OPENAI,
        BATCH_INPUT,
        OPEN_ORCA,
        OA_INSTRUCTIONS,
        QUERY_RESPONSE,
        PROMPT_COMPLETION,
        ULTRACHAT,
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
    if isinstance(record.get("text"), str):
        raise UserError(
            f"{place}: raw text (field 'text'), in which nobody asks or answers; split it where its turns begin "
            "([INST], ### Response:) and write them as 'messages', or as 'prompt' and 'completion'"
        )
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
