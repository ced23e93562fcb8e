"""One progress display for all long work: a bar on a terminal, plain lines elsewhere, nothing if quiet."""

import sys
import time
from types import TracebackType

from rich import table
from rich.console import Console
from rich.progress import Progress as RichProgress
from rich.progress import ProgressColumn
from rich.text import Text

from camelid.terminal import printable, terminal_of

PLAIN_EVERY = 10.0  # seconds between lines where there is no terminal
LABEL, BAR = 16, 14  # characters of the two; with count, rate and times they leave room for a fact in 80 columns
SHORTEST_FACT = 8  # characters; less than that says nothing


class Progress:
    """Show `done/total`, the rate, elapsed time and ETA, and free-form facts on stderr.

    On a terminal that is too narrow for all of it the facts are cut, then the bar goes.

    Args:
        label: what is being done ("generate", "train").
        total: units of work; None when unknown.
        quiet: show nothing.
        done: units that an earlier run had already finished (they don't count for the rate).
    """

    def __init__(self, label: str, total: int | None, quiet: bool = False, done: int = 0) -> None:
        self._label, self._total, self._quiet = printable(label), total, quiet
        self._done = self._first = done
        self._facts = ""
        self._started = self._printed = time.monotonic()
        self._bar: RichProgress | None = None
        if not quiet and sys.stderr.isatty():
            console = Console(file=terminal_of(sys.stderr))
            self._bar = RichProgress(_Line(self, console), console=console)
            self._task = self._bar.add_task("", total=total, completed=done)

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        elif not self._quiet and (kind is None or self._done > self._first):
            self._print()

    def update(self, done: int, facts: str = "") -> None:
        """Set how much is done and the facts shown beside it (`"loss 2.31 | 1,204 tok/s"`)."""
        self._done, self._facts = done, printable(facts)
        if self._bar:
            self._bar.update(self._task, completed=done)
        elif not self._quiet and time.monotonic() - self._printed >= PLAIN_EVERY:
            self._print()

    def line(self, width: int) -> Text:
        """What a terminal shows, in at most so many columns."""
        numbers = f"{self._count()} {self._rate()} {self._times()}"
        label = self._label if len(self._label) <= LABEL else f"{self._label[: LABEL - 1]}…"
        shown = Text(f"{label} ")
        if self._total and len(label) + len(numbers) + BAR + 2 <= width:
            full = BAR * min(self._done, self._total) // self._total
            shown += Text("━" * full, "green") + Text("━" * (BAR - full), "bright_black") + Text(" ")
        shown += Text(numbers)
        if self._facts and width - len(shown) >= SHORTEST_FACT:
            shown += Text(f" {self._facts}")
        shown.truncate(width, overflow="ellipsis")
        return shown

    def _count(self) -> str:
        return f"{self._done}/{self._total}" if self._total is not None else str(self._done)

    def _rate(self) -> str:
        """Units a second, or, of what takes long, seconds a unit."""
        new, elapsed = self._done - self._first, time.monotonic() - self._started
        if new <= 0 or elapsed <= 0:
            return "-/s"
        rate = new / elapsed
        return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"

    def _times(self) -> str:
        elapsed, left = time.monotonic() - self._started, self._seconds_left()
        return f"{_clock(elapsed)} ETA {'-:--' if left is None else _clock(left)}"

    def _seconds_left(self) -> float | None:
        new = self._done - self._first
        if not self._total or new <= 0:
            return None
        return (time.monotonic() - self._started) / new * max(0, self._total - self._done)

    def _print(self) -> None:
        self._printed = time.monotonic()
        left = self._seconds_left()
        eta = f" | ETA {left:.0f} s" if left else ""
        facts = f" | {self._facts}" if self._facts else ""
        elapsed = self._printed - self._started
        print(f"{self._label} {self._count()}{facts} | {elapsed:.0f} s{eta}", file=sys.stderr, flush=True)


class _Line(ProgressColumn):
    """The whole line as one column, so that it is ours what gives way to what."""

    def __init__(self, progress: Progress, console: Console) -> None:
        super().__init__(table.Column(no_wrap=True))
        self._progress, self._console = progress, console

    def render(self, task: object) -> Text:
        return self._progress.line(self._console.width)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
