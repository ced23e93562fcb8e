"""What most readers of preferences do: chats from texts, pairs from ratings, a choice between two sides."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from camelid.errors import UserError
from camelid.files.read import Record
from conversations.formats.chat import Chat, make_chat
from conversations.formats.fields import text_field
from conversations.formats.preferences.preference_format import TIE, Compared, ReadPreference, Unused
from conversations.formats.preferences.transcript import read_prompt_text
from conversations.formats.turns import TurnList, read_text
from conversations.preference import GRADES


def text_chat(name: str, prompt: str, answer: str) -> Chat:
    """A chat of a prompt that is a text, and an answer."""
    return make_chat(name, (*read_prompt_text(prompt), read_text("assistant", answer)), {})


def listed_chat(name: str, items: Sequence[Any], field: str, place: str) -> Chat:
    """A chat whose turns are objects, of whatever format; `field` is where they stand, for errors."""
    return TurnList(field, tools=False).read({"id": name, field: list(items)}, place)


def choose(first: Chat, second: Chat, preference: float, **more: Any) -> ReadPreference:
    """Two answers of which the first is preferred if `preference` is below 0, the second if it is above, as HelpSteer
    counts; `more` is as of `Compared`, with `models` in the order of the answers."""
    if preference == 0:
        return Unused(TIE, more.get("label", ""))
    if preference < 0:
        return Compared(first, second, **more)
    if "models" in more:
        more["models"] = more["models"][::-1]
    return Compared(second, first, **more)


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """An answer to a prompt with what it is worth."""

    text: str
    rating: float
    model: str | None = None


def rated_pairs(name: str, prompt: str, answers: Sequence[RatedAnswer]) -> Iterator[ReadPreference]:
    """Each answer with each other one (Ouyang et al. 2022, section 3.5): the better rated is chosen, equal ones tie.

    The grade is by how many whole points, which is our choice. `meta.group` names the prompt, by which they belong
    together.
    """
    alone = len(answers) == 2
    for (i, first), (k, second) in combinations(enumerate(answers), 2):
        own = name if alone else f"{name}/{i}-{k}"
        apart = first.rating - second.rating
        yield choose(
            text_chat(own, prompt, first.text),
            text_chat(own, prompt, second.text),
            -apart,
            models=(first.model, second.model),
            grade=whole_points(abs(apart)),
            meta={} if alone else {"group": name},
        )


def whole_points(difference: float) -> int:
    """A difference of ratings as a grade: negligibly better below one point, significantly from three up."""
    return min(len(GRADES) - 1, int(difference))


def number_field(record: Record, name: str, place: str, least: float, most: float) -> float:
    """A number in a field, also where a table holds it as text.

    Raises:
        UserError: it is none, or out of range.
    """
    value = record.get(name)
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        raise UserError(f"{place}: field {name!r} must be a number from {least:g} to {most:g}, found {value!r}")
    return number


def writer_field(record: Record, name: str, place: str) -> str | None:
    """Who wrote an answer; None where a record does not say it.

    Raises:
        UserError: it is no name.
    """
    return None if record.get(name) is None else text_field(record, name, place)


def choice_field(record: Record, name: str, place: str) -> int:
    """Which of two answers a field names: 0 or 1, also where a table holds it as text.

    Raises:
        UserError: it is neither.
    """
    value = record.get(name)
    if isinstance(value, bool) or value not in (0, 1, "0", "1"):
        raise UserError(f"{place}: field {name!r} must be 0 or 1, found {value!r}")
    return int(value)


def flag_field(record: Record, name: str, place: str) -> bool:
    """A field that is true or false, also where a table holds it as text.

    Raises:
        UserError: it is neither.
    """
    value = record.get(name)
    known = {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(known, bool):
        raise UserError(f"{place}: field {name!r} must be true or false, found {value!r}")
    return known
