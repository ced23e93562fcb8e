"""Texts of prompts with names in braces, where values go."""

import re
from collections.abc import Iterable
from pathlib import Path

from camelid.errors import UserError


def fill(text: str, /, **values: str) -> str:
    """Put each value where the text has its name in braces, once: braces in a value, and other braces, stay."""
    return re.sub(r"\{(" + "|".join(values) + r")\}", lambda found: values[found[1]], text)


def check_holds(text: str, wanted: Iterable[str], place: str | Path | None, example: str) -> None:
    """Refuse a text that lacks something.

    Args:
        text: of the prompt.
        wanted: what it must hold.
        place: the file, and what of it.
        example: a file that has it.

    Raises:
        UserError: it does not.
    """
    for part in wanted:
        if part not in text:
            raise UserError(f"{place}: must hold {part}; {example} is an example")
