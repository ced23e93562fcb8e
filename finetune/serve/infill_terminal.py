"""Holes filled in the terminal."""

import contextlib
import secrets
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TextIO

from camelid.errors import UserError
from camelid.terminal import printable, read_any_bytes
from finetune.generate.sampling import Sampling
from finetune.serve.one_answer import write_answer
from finetune.serve.served import ServedModel

HOLE = "<FILL_ME>"  # as in transformers (CodeLlamaTokenizer, `fill_token`)


class InfillTerminal:
    """Texts with a hole in, each of which is shown filled.

    Args:
        served: the model.
        sampling: of all middles.
        seed: of the first; the next one takes the next number. None draws it.
        read: asks for a line; raises EOFError where a text ends, and again where no text follows.
        out: where texts go; None for the standard output of the moment.

    Raises:
        UserError: the model cannot fill holes.
    """

    def __init__(
        self,
        served: ServedModel,
        sampling: Sampling,
        seed: int | None = None,
        read: Callable[[str], str] = input,
        out: TextIO | None = None,
    ) -> None:
        if isinstance(served.infill, UserError):
            raise served.infill
        self._served, self._infill = served, served.infill
        self._sampling = replace(sampling, after=served.anchor)
        self._seed = secrets.randbits(62) if seed is None else seed
        self._read, self._out = read, out or sys.stdout

    def run(self) -> int:
        """Read texts until one is empty."""
        read_any_bytes(sys.stdin)
        if sys.stdin.isatty():
            self._say(f"{self._served.name}; a text with {HOLE} in it, then Ctrl-D; Ctrl-D alone ends\n")
        while text := self._text():
            try:
                self._fill(text)
            except UserError as error:
                if not sys.stdin.isatty():
                    raise
                self._say(f"{error}\n")
        return 0

    def _text(self) -> str:
        lines: list[str] = []
        while True:
            try:
                lines.append(self._read("") + "\n")
            except EOFError:
                return "".join(lines)
            except KeyboardInterrupt:
                return ""

    def _fill(self, text: str) -> None:
        """Show the whole text; Ctrl-C ends the middle."""
        if text.count(HOLE) != 1:
            raise UserError(f"the text must have {HOLE} in it, once; it has {text.count(HOLE)}")
        prefix, suffix = text.split(HOLE)
        prompt, shown = self._infill.prompt(prefix, suffix), False
        with contextlib.suppress(KeyboardInterrupt):
            for piece in write_answer(self._served, prompt, self._seed, self._sampling, "shorten it"):
                self._say(piece if shown else prefix + piece)
                shown = True
        self._seed += 1
        self._say(suffix)

    def _say(self, text: str) -> None:
        self._out.write(printable(text) if self._out.isatty() else text)
        self._out.flush()
