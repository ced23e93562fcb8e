"""A fixed date for chat templates that ask the clock, so that the same data gives the same tokens on any day."""

import re
from datetime import date

from camelid.errors import UserError

FIXED = date(2024, 7, 26)  # what Llama 3.1's template writes, and Llama 3.2's where it has no clock
_CALL = re.compile(r"strftime_now\(\s*([^)]*?)\s*\)")


def fix_dates(jinja: str, name: str) -> tuple[str, date | None]:
    """The template with that date written in place of its calls of the clock, and the date; None if there is no call.

    Raises:
        UserError: a call has no fixed form of the date.
    """
    calls = _CALL.findall(jinja)
    for form in calls:
        if len(form) < 2 or form[0] not in "'\"" or form[-1] != form[0]:
            raise UserError(
                f"{name}: it asks for today's date in a form that is made up as it goes (strftime_now({form})), so "
                "the same data would give other tokens tomorrow; write a date there, or choose one of Camelid's own "
                "templates"
            )
    return _CALL.sub(lambda call: f'"{FIXED.strftime(call[1][1:-1])}"', jinja), FIXED if calls else None
