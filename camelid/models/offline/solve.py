"""Answers to the embedded teacher's own tasks: the family that wrote one runs again, its choices read from the text."""

import re
from collections.abc import Callable, MutableSequence, Sequence
from functools import lru_cache
from itertools import chain, islice, permutations
from random import Random
from typing import Any, TypeVar

from camelid.models.offline.tasks import FAMILIES, plural

LONGEST = 40  # words; no family writes a task as long
_T = TypeVar("_T")


@lru_cache(4096)
def solve(text: str) -> str | None:
    """The answer to a task, or None if no family could have written it.

    Args:
        text: the instruction and, after an empty line, its input.
    """
    if len(text.split()) > LONGEST:
        return None
    for family in chain(*FAMILIES.values()):
        choices = _Choices(text)
        while True:
            instruction, given, output = family(choices)
            if f"{instruction} {given}".split() == text.split():
                return output
            if not choices.go_on():
                break
    return None


class _Choices(Random):
    """Chooses what a text shows; where it shows several things, each in turn, run after run; where none, the first."""

    def __init__(self, text: str) -> None:
        super().__init__(0)
        self._words = f" {_plain(text)} "
        self._numbers = list(dict.fromkeys(int(digits) for digits in re.findall(r"\d+", text)))
        self._path: list[tuple[int, Sequence[Any]]] = []  # of this run: which was taken, of what
        self._step = 0
        self._shown: dict[str, bool] = {}

    def go_on(self) -> bool:
        """Get ready for a run with the next choices; False if all have been made."""
        self._step = 0
        while self._path:
            taken, options = self._path.pop()
            if taken + 1 < len(options):
                self._path.append((taken + 1, options))
                return True
        return False

    def _take(self, find_options: Callable[[], Sequence[Any]]) -> Any:
        if self._step == len(self._path):
            self._path.append((0, find_options()))
        taken, options = self._path[self._step]
        self._step += 1
        return options[taken]

    def choice(self, seq: Any) -> Any:
        return self._take(lambda: [option for option in seq if self._shows(option)] or seq[:1])

    def sample(self, population: Sequence[_T], k: int, *, counts: object = None) -> list[_T]:
        return list(self._take(lambda: self._samples(population, k)))

    def _samples(self, population: Sequence[_T], size: int) -> list[tuple[_T, ...]]:
        shown = [option for option in population if self._shows(option)]
        others = (option for option in population if option not in shown)
        return list(permutations(shown + list(islice(others, max(0, size - len(shown)))), size))

    def randint(self, a: int, b: int) -> int:
        return int(self._take(lambda: [number for number in self._numbers if a <= number <= b] or [a]))

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return int(self._take(lambda: range(start) if stop is None else range(start, stop, step)))

    def random(self) -> float:
        return float(self._take(lambda: (0.0, 0.99)))  # below and above any chance

    def shuffle(self, x: MutableSequence[Any]) -> None:
        x[:] = sorted(x, key=lambda option: self._words.find(f" {_plain(option)} "))

    def _shows(self, option: object) -> bool:
        """Whether the text has an option, or some part of it; of lists it cannot be told."""
        if isinstance(option, str):
            if option not in self._shown:
                forms = (option, plural(option)) if option else ()
                self._shown[option] = any(f" {_plain(form)} " in self._words for form in forms)
            return self._shown[option]
        if isinstance(option, tuple):
            return any(self._shows(part) for part in option)
        return option in self._numbers if isinstance(option, int) else True


@lru_cache(4096)
def _plain(text: str) -> str:
    """The words in small letters, with single blanks between."""
    return " ".join(re.findall(r"\w+", text.lower()))
