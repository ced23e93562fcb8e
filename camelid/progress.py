"""One progress display for all long work: a bar on a terminal, plain lines elsewhere, nothing if quiet."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

PLAIN_EVERY = 10.0  # seconds between lines where there is no terminal


class Progress:
    """Show `done/total`, free-form facts, elapsed time and ETA on stderr.

    Args:
        label: what is being done ("generate", "train").
        total: units of work; None when unknown.
        quiet: show nothing.
        done: units that an earlier run had already finished (they don't count for the rate).
    """

    def __init__(self, label: str, total: int | None, quiet: bool = False, done: int = 0) -> None:
        self._label, self._total, self._quiet = label, total, quiet
        self._done = self._first = done
        self._facts = ""
        self._started = self._printed = time.monotonic()
        self._bar: RichProgress | None = None
        if not quiet and sys.stderr.isatty():
            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[facts]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(label, total=total, completed=done, facts="")

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
        self._done, self._facts = done, facts
        if self._bar:
            self._bar.update(self._task, completed=done, facts=facts)
        elif not self._quiet and time.monotonic() - self._printed >= PLAIN_EVERY:
            self._print()

    def _print(self) -> None:
        self._printed = time.monotonic()
        elapsed = self._printed - self._started
        total = f"/{self._total}" if self._total is not None else ""
        new = self._done - self._first
        eta = ""
        if self._total and new > 0 and self._done < self._total:
            eta = f" | ETA {elapsed / new * (self._total - self._done):.0f} s"
        facts = f" | {self._facts}" if self._facts else ""
        print(f"{self._label} {self._done}{total}{facts} | {elapsed:.0f} s{eta}", file=sys.stderr, flush=True)
