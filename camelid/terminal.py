"""Text for a terminal: what models and files say must not move its cursor, change its title or hide its letters."""

import io
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import IO, Any, cast

# C0 but for tab and line feed, DEL, C1, and what turns the direction of writing (Unicode TR9, explicit formatting).
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """A text whose control characters are written out (`\\x1b`); line ends become `\\n`."""
    return _CONTROLS.sub(_written_out, text.replace("\r\n", "\n"))


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def read_any_bytes(stream: IO[str]) -> None:
    """From now on bytes that are no UTF-8 are read as U+FFFD, where reading would end with an error."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")


class PrintableStream:
    """A terminal that is written printable text alone.

    A carriage return by itself gets through: libraries' progress bars begin their line anew with it.

    Args:
        terminal: what is written to.
    """

    def __init__(self, terminal: IO[str]) -> None:
        self.terminal = terminal

    def write(self, text: str) -> int:
        self.terminal.write("\r".join(map(printable, text.split("\r"))))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.terminal, name)


def terminal_of(stream: Any) -> IO[str]:
    """What a stream writes to: for what draws on the terminal, and cleans texts itself."""
    terminal: IO[str] = stream.terminal if isinstance(stream, PrintableStream) else stream
    return terminal


@contextmanager
def clean_terminals() -> Iterator[None]:
    """Whatever is printed inside reaches a terminal as printable text; files and pipes get it as it is."""
    with ExitStack() as stack:
        if sys.stdout.isatty():
            stack.enter_context(redirect_stdout(cast(IO[str], PrintableStream(sys.stdout))))
        if sys.stderr.isatty():
            stack.enter_context(redirect_stderr(cast(IO[str], PrintableStream(sys.stderr))))
        yield
