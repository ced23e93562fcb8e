"""OpenAI's files for direct preference optimization."""

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import record_id
from conversations.formats.beside import read_beside
from conversations.formats.fields import KnownFields, list_field
from conversations.formats.preferences.answers import listed_chat
from conversations.formats.preferences.preference_format import Compared, PreferenceFormat

_OF_INPUT = KnownFields(frozenset(("messages",)), frozenset(("parallel_tool_calls",)))
_SIDES = ("preferred_output", "non_preferred_output")


def _read(record: Record, place: str) -> list[Compared]:
    asked = record["input"]
    if not isinstance(asked, dict):
        raise UserError(f"{place}: field 'input' must be an object with 'messages', found {type(asked).__name__}")
    prompt, name = list_field(asked, "messages", f"{place}: input"), record_id(record, place)
    chosen, rejected = (
        listed_chat(name, [*prompt, *list_field(record, side, place)], f"input.messages + {side}", place)
        for side in _SIDES
    )
    beside = read_beside(asked, _OF_INPUT, f"{place}: input")
    list(beside.add_to((chosen, rejected)) if beside else ())
    return [Compared(chosen, rejected)]


OPENAI_PREFERENCE = PreferenceFormat(
    name="openai-preference",
    called="OpenAI preference files",
    looks_like='`{"input": {"messages"}, "preferred_output", "non_preferred_output"}`',
    names=frozenset(_SIDES),
    marks=lambda record: tuple(side for side in _SIDES if record.get(side)),
    fields=KnownFields(frozenset(("id", "input", *_SIDES))),
    read=_read,
)
