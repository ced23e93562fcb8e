"""The one exception for mistakes a user can mend."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Bad input. The message is one line: what is wrong, where it is, and how to mend it.

    The command line prints it without a traceback and exits with status 2; any other exception is a
    fault of ours and keeps its traceback.
    """


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` or, without a near miss, `"; known: a, b, c"`.

    Args:
        name: what the user wrote.
        known: the names that would have been accepted.
    """
    names = sorted(known)
    near = closest_name(name, names)
    if near is not None:
        return f"; did you mean {near!r}?"
    return f"; known: {', '.join(names)}" if names else ""


def closest_name(name: str, known: Iterable[str]) -> str | None:
    """The name among `known` that was probably meant; None if nothing is near."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.6)), None)
