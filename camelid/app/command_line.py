"""The parser of the command line: a mistake gets one line and, where there is one, the nearest right word."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from camelid.errors import closest_name, suggest_name


class CommandParser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line. What it makes for commands is of this class too."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As in the base class; remembers what was given, and takes two words for a command that has two."""
        self._given = [str(item) for item in (sys.argv[1:] if args is None else args)]
        words = " ".join(self._given[:2])
        if any(words in action.choices for action in _commands(self)):
            self._given[:2] = [words]
        return super().parse_known_args(self._given, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the line and exit with status 2."""
        unknown = [item for item in getattr(self, "_given", ()) if self._is_unknown(item)]
        if unknown and "arguments are required" in message:  # most likely one of them, misspelled
            self.refuse(unknown)
        wrong = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)$", message)
        if wrong:
            choices = [choice.strip(" '") for choice in wrong[2].split(",")]
            self._stop(f"{message[: wrong.start()]}{wrong[1]!r} is unknown{suggest_name(wrong[1], choices)}")
        self._stop(f"{message}; see `{self.prog} --help`")

    def refuse(self, unknown: Sequence[str]) -> NoReturn:
        """Exit with the error for arguments that this command does not have."""
        option = next((item for item in unknown if item.startswith("-")), unknown[0])
        near = closest_name(option.partition("=")[0].lstrip("-"), [name.lstrip("-") for name in self._options()])
        if near is not None:
            hint = f"did you mean '--{near}'?"
        elif "=" in option and any(action.dest == "overrides" for action in self._actions):
            hint = f"write settings without dashes: {option.lstrip('-')}"
        else:
            hint = f"see `{self.prog} --help`"
        self._stop(f"unrecognized arguments: {' '.join(unknown)}; {hint}")

    def _options(self) -> list[str]:
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]

    def _is_unknown(self, item: str) -> bool:
        """Whether this is an option, and none of ours (nor the beginning of one)."""
        name = item.partition("=")[0]
        return name.startswith("--") and not any(option.startswith(name) for option in self._options())

    def _stop(self, message: str) -> NoReturn:
        print(f"{self.prog}: error: {message}", file=sys.stderr)
        sys.exit(2)


def leaves(parser: CommandParser, about: str = "") -> Iterator[tuple[CommandParser, str]]:
    """The commands that can be run, each with what its parent's help says of it."""
    below = _commands(parser)
    if not below:
        yield parser, about or parser.description or ""
    for action in below:
        help_of = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for verb, child in action.choices.items():
            yield from leaves(child, help_of.get(verb, ""))


def _commands(parser: CommandParser) -> list[Any]:
    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
