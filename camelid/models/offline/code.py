"""Asks for small Python functions, tests them and writes them, now and then wrongly: for trying `--method code` out."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

_WANTED = re.compile(r"^Write (\d+) programming questions\b")
_NAMED = re.compile(r"`([a-z]+(?:_[a-z]+)*)_(\w+)\(")
WRONG = 0.4  # of the solutions, so that it takes several


@dataclass(frozen=True)
class _Functions:
    """Functions that differ in one value.

    Attributes:
        name: of the function, before the value.
        question: what it does, with `{value}`.
        argument: its name, and `inputs`: what it is tested with.
        body: an expression, with `{value}`; `wrong` one that is not right.
        function: what is right.
    """

    name: str
    question: str
    argument: str
    inputs: tuple[object, ...]
    body: str
    wrong: str
    function: Callable[[int], Callable[..., object]]


_FAMILIES = {
    family.name: family
    for family in (
        _Functions(
            "add",
            "takes a number and returns it with {value} added to it",
            "number",
            (0, 7, -20),
            "number + {value}",
            "number - {value}",
            lambda value: lambda number: number + value,
        ),
        _Functions(
            "is_multiple_of",
            "takes a whole number and says whether it is a multiple of {value}",
            "number",
            (0, 12, 35, 101),
            "number % {value} == 0",
            "number % {value} == 1",
            lambda value: lambda number: number % value == 0,
        ),
        _Functions(
            "first",
            "takes a list and returns a list of its first {value} items, or of all if there are fewer",
            "items",
            ([], [3, 1, 2], list(range(60))),
            "items[:{value}]",
            "items[{value}:]",
            lambda value: lambda items: items[:value],
        ),
        _Functions(
            "every",
            "takes a list and returns a list of every item whose place, from 0, is a multiple of {value}",
            "items",
            ([], [3, 1, 2], list(range(60))),
            "items[::{value}]",
            "items[1::{value}]",
            lambda value: lambda items: items[::value],
        ),
        _Functions(
            "longer_than",
            "takes a list of words and returns those of more than {value} letters, in their order",
            "words",
            ([], ["a", "fair", "wind"], ["unquestionable", "is", "the", "afternoon"]),
            "[word for word in words if len(word) > {value}]",
            "[word for word in words if len(word) < {value}]",
            lambda value: lambda words: [word for word in words if len(word) > value],
        ),
        _Functions(
            "repeat",
            "takes a text and returns it {value} times, with a blank between each two",
            "text",
            ("", "ho", "a b"),
            '" ".join([text] * {value})',
            '"".join([text] * {value})',
            lambda value: lambda text: " ".join([text] * value),
        ),
    )
}


def write_code(prompt: str, random: Random) -> str | None:
    """Questions, a test or a solution, as the prompts of `--method code` ask; None if it is none of these."""
    wanted, named = _WANTED.search(prompt), _NAMED.search(prompt)
    if wanted:
        return "\n".join(f"{number}. {_question(random)}" for number in range(1, int(wanted[1]) + 1))
    family = _FAMILIES.get(named[1]) if named else None
    if family is None or named is None or not named[2].isdecimal():
        return None
    value = int(named[2])
    name = f"{family.name}_{value}"
    if prompt.startswith("Write tests for the Python function"):
        right = family.function(value)
        return _block("\n".join(f"assert {name}({given!r}) == {right(given)!r}" for given in family.inputs))
    if prompt.startswith("Solve this in Python"):
        body = (family.wrong if random.random() < WRONG else family.body).format(value=value)
        return _block(f"def {name}({family.argument}):\n    return {body}")
    return None


def _question(random: Random) -> str:
    family, value = random.choice(list(_FAMILIES.values())), random.randint(2, 60)
    does = family.question.format(value=value)
    return f"Write a function `{family.name}_{value}({family.argument})` that {does}."


def _block(code: str) -> str:
    return f"```python\n{code}\n```"
