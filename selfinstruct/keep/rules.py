"""Rules that a generated task must pass, each with a reason of its own."""

import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from camelid.config import load_config
from camelid.errors import UserError
from camelid.text.words import SPACELESS, unicode_tokens
from selfinstruct.keep.leftovers import holds_next_task, is_cut_off, is_refusal, needs_attachment, says_no_output
from selfinstruct.keep.links import has_invented_link, is_only_link
from selfinstruct.seeds import Task

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True)
class Rules:
    """Alpaca's rules for instructions, to be set for each language.

    Attributes:
        language: what the teacher is told to write in.
        fewest_words, most_words: length; in scripts without spaces a character counts as a word.
        keywords: words (in any case) that ask for more than text.
        beginnings: starts of an instruction (case counts) that models overdo.
        ascii_first: whether the first character must be ASCII.
    """

    language: str
    fewest_words: int
    most_words: int
    keywords: tuple[str, ...] = ()
    beginnings: tuple[str, ...] = ()
    ascii_first: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.fewest_words <= self.most_words:
            raise UserError(f"fewest_words = {self.fewest_words} must be from 0 to most_words = {self.most_words}")

    @cached_property
    def _keyword(self) -> re.Pattern[str] | None:
        # Between two characters of a script without spaces there is no word boundary to look for.
        words = [re.escape(word) if SPACELESS.search(word) else rf"\b{re.escape(word)}\b" for word in self.keywords]
        return re.compile("|".join(words), re.IGNORECASE) if words else None

    def reason_to_drop(self, instruction: str) -> str | None:
        """Return why an instruction is no good, or None."""
        # As Self-Instruct counts, at blanks, where the script has any.
        words = len(unicode_tokens(instruction) if SPACELESS.search(instruction) else instruction.split())
        if words < self.fewest_words or words > self.most_words:
            return "instruction too short or too long"
        if self._keyword and self._keyword.search(instruction):
            return "asks for what text cannot do"
        if instruction.startswith(self.beginnings):
            return "asks for a program"
        if instruction[:1] in string.punctuation or (self.ascii_first and not instruction[0].isascii()):
            return "instruction begins with punctuation or a non-ASCII character"
        return None


def read_rules(name: str = "en") -> Rules:
    """Read the rules that come with Camelid for a language (`en`, `zh`), or those of a YAML file."""
    ours = DATA / f"rules_{name}.yaml"
    return load_config(Rules, ours if ours.is_file() else name)


# What is wrong with an input or output, in the order in which it is looked for. Alpaca checks none of this.
_ANSWER_FAULTS: tuple[tuple[str, Callable[[Task], bool]], ...] = (
    ("output empty", lambda task: not task.output),
    ("output says that there is none", lambda task: says_no_output(task.output)),
    ("two tasks run together", holds_next_task),
    ("output repeats the input", lambda task: bool(task.input) and task.input == task.output),
    ("output has a URL that was not given", has_invented_link),
    ("input is only a link", is_only_link),
    ("input is a picture or file that is not there", needs_attachment),
    ("output cut off", lambda task: is_cut_off(task.output)),
    ("output refuses", lambda task: is_refusal(task.output)),
)


def reason_to_drop_answer(task: Task) -> str | None:
    """Return why a task's input and output are no good, or None."""
    return next((reason for reason, is_wrong in _ANSWER_FAULTS if is_wrong(task)), None)
