"""What a pool works out at once, one after the other."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import TypeVar

from camelid.errors import UserError

ItemT = TypeVar("ItemT")
DoneT = TypeVar("DoneT")


def map_in_order(pool: Executor, work: Callable[[ItemT], DoneT], items: Iterable[ItemT], ahead: int) -> Iterator[DoneT]:
    """The results of all items in their order; at most `ahead` and one are held at a time.

    Unlike `Executor.map`, which takes all items at once. What waits is given up when the caller stops.

    Raises:
        UserError: a process of the pool was killed, and what it worked on is not known.
    """
    waiting: deque[Future[DoneT]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenExecutor:
        raise UserError(
            "a process that worked for this one was killed, by the system for want of memory perhaps; what it worked "
            "on is not known, so this stops here: start the same command again"
        ) from None
    finally:
        for future in waiting:
            future.cancel()
