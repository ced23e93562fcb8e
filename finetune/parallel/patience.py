"""Waiting for what other processes do on the host, however long it takes.

A collective operation of the training gives up after ten minutes (NCCL) or thirty (gloo), so that a lost process is
noticed. Tokenising a million records or writing 276 GB takes longer, so those waits have a group of their own.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from torch import distributed

from camelid.errors import UserError

LIMIT = timedelta(days=7)


class Patience:
    """A group of all processes on the CPU whose waits have no limit in sight. Every process must make it together."""

    def __init__(self) -> None:
        self._several = distributed.is_initialized() and distributed.get_world_size() > 1
        self.group = distributed.new_group(backend="gloo", timeout=LIMIT) if self._several else None

    def wait(self, reason: str | None = None) -> None:
        """Wait until every process is here.

        Args:
            reason: why this one can't go on, None if it can.

        Raises:
            UserError: with the first reason that any process gave, on all of them.
        """
        reasons = [reason]
        if self._several:
            reasons = [None] * distributed.get_world_size()
            distributed.all_gather_object(reasons, reason, group=self.group)
        found = [given for given in reasons if given is not None]
        if found:
            raise UserError(found[0])

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process goes through the block alone, then all others do.

        Raises:
            UserError: the main process failed in it.
        """
        main = not self._several or distributed.get_rank() == 0
        if not main:
            self.wait()
        try:
            yield
        except Exception as error:
            if main and self._several:
                with suppress(UserError):  # this one has its own error
                    self.wait(str(error) or type(error).__name__)
            raise
        if main:
            self.wait()
