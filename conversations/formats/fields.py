"""Fields of a record, checked."""

from camelid.errors import UserError
from camelid.files.read import Record


def text_field(record: Record, name: str, place: str) -> str:
    """The text of a field.

    Raises:
        UserError: it is missing, or no string; `place` says where.
    """
    value = record.get(name)
    if not isinstance(value, str):
        raise UserError(f"{place}: field {name!r} must be a string, found {value!r}")
    return value
