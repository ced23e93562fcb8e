"""A prompt that stands in a record as texts: the question by whatever name, its input, the exchanges before it."""

from camelid.errors import UserError
from camelid.files.read import Record
from camelid.message import Message
from conversations.formats.chat import LostTurn
from conversations.formats.fields import text_field
from conversations.formats.history import read_history
from conversations.formats.preferences.transcript import read_prompt_text
from conversations.tokens.with_input import join_input

QUESTIONS = ("prompt", "instruction", "question", "query", "input")
TEXT_PROMPT = (*QUESTIONS, "history")  # the fields of a record that are read here


def read_text_prompt(record: Record, place: str) -> list[Message | LostTurn]:
    """The turns of a record's prompt.

    Raises:
        UserError: there is none, or a field is no text.
    """
    field = _question(record)
    if field is None:
        raise UserError(f"{place}: no prompt; expected one of {', '.join(map(repr, QUESTIONS))}, or a list of messages")
    text = text_field(record, field, place)
    if field == "instruction" and record.get("input"):
        text = join_input(text, text_field(record, "input", place))
    return [*read_history(record.get("history"), place), *read_prompt_text(text)]


def fields_of_prompt(record: Record) -> set[str]:
    """The fields that `read_text_prompt` takes."""
    field = _question(record)
    return {"history", *([field] if field else []), *(["input"] if field == "instruction" else [])}


def _question(record: Record) -> str | None:
    return next((field for field in QUESTIONS if record.get(field)), None)


def unpadded(text: str) -> str:
    """An answer without the one blank that joined it to its prompt, where prompts are texts that models go on with."""
    return text[1:] if text[:1] == " " and not text[1:2].isspace() else text
