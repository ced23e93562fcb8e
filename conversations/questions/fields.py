"""Fields of published questions and answers that must be text."""

from camelid.errors import UserError
from camelid.files.read import Record


def text_at(value: object, field: str, place: str) -> str:
    """A text, or the text in Arena-Hard's `{"content"}` (v0.1) and `{"answer"}` (v2).

    Raises:
        UserError: it is neither.
    """
    while isinstance(value, dict) and ("content" in value or "answer" in value):
        name = "content" if "content" in value else "answer"
        value, field = value[name], f"{field}.{name}"
    if not isinstance(value, str):
        raise UserError(f"{place}: field {field!r} must be text, found {repr(value)[:60]}")
    return value


def texts_at(value: object, field: str, place: str) -> tuple[str, ...]:
    """A list of texts.

    Raises:
        UserError: it isn't one.
    """
    if not isinstance(value, list):
        raise UserError(f"{place}: field {field!r} must be a list of strings, found {repr(value)[:60]}")
    return tuple(text_at(item, f"{field}[{index}]", place) for index, item in enumerate(value))


def first_choice(record: Record, place: str) -> tuple[str, ...]:
    """The turns of FastChat's `choices[0].turns`.

    Raises:
        UserError: they are not there, or not texts.
    """
    choices = record.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return texts_at(first.get("turns") if isinstance(first, dict) else None, "choices[0].turns", place)
