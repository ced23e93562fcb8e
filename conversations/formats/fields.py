"""Fields of a record: which ones a format knows, and how they are checked."""

import math
from dataclasses import dataclass
from datetime import date, time
from functools import cached_property
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record


@dataclass(frozen=True)
class KnownFields:
    """The fields that a format's reader takes care of. What else a record has is set aside in `meta` and counted.

    Attributes:
        mapped: what becomes of the conversation: its id, turns, weights, ...
        harmless: what says again what is mapped, or nothing of the chat; left out.
    """

    mapped: frozenset[str]
    harmless: frozenset[str] = frozenset()

    @cached_property
    def known(self) -> frozenset[str]:
        return self.mapped | self.harmless

    def others(self, item: Record) -> dict[str, Any]:
        """What is to be set aside; null, with which a table fills what a row lacks, and empty values are nothing."""
        return {name: as_json(item[name]) for name in item.keys() - self.known if not _is_nothing(item[name])}


def text_field(record: Record, name: str, place: str) -> str:
    """The text of a field.

    Raises:
        UserError: it is missing, or no string; `place` says where.
    """
    value = record.get(name)
    if not isinstance(value, str):
        raise UserError(f"{place}: field {name!r} must be a string, found {value!r}")
    return value


def list_field(record: Record, name: str, place: str) -> list[Any]:
    """The list in a field.

    Raises:
        UserError: it is no list.
        KeyError: it is missing.
    """
    value = record[name]
    if not isinstance(value, list):
        raise UserError(f"{place}: field {name!r} must be a list, found {type(value).__name__}")
    return value


def _is_nothing(value: object) -> bool:
    """Null, also as tables of numbers write it, and what is empty."""
    return value is None or value == "" or value == [] or value == {} or value != value  # NaN


def as_json(value: Any) -> Any:
    """A value out of a table as JSON can hold it: times as ISO 8601 writes them, bytes as how many there are."""
    if isinstance(value, dict):
        return {str(name): as_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if isinstance(value, str | int | float | None) else str(value)
