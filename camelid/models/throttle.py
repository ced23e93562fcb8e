"""How many requests may be in flight at one server: fewer after a 429, slowly more again after replies."""

import asyncio
import random
import time
from collections import deque
from types import TracebackType

DECREASE = 0.5  # of the number in flight after a 429, and plus one per round of replies: TCP's rule
# (additive increase, multiplicative decrease; Jacobson and Karels 1988, "Congestion avoidance and control")
MOST_JITTER = 1.0  # seconds over which requests start again after a pause, so that they don't come all at once


class Throttle:
    """Places for requests; `async with` takes one and gives it back.

    Args:
        most: places at best; the number starts there and never exceeds it.

    Attributes:
        places: how many there are now (a fraction counts towards the next whole place).
        in_flight: how many are taken.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.places = float(most)
        self.in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._not_before = 0.0
        self._lowered = 0.0

    @property
    def load(self) -> int:
        """Requests in flight or waiting for a place."""
        return self.in_flight + len(self._waiting)

    async def __aenter__(self) -> None:
        if self.in_flight < int(self.places):
            self.in_flight += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():  # it was given a place in the same moment
                self._give_back()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    def _give_back(self) -> None:
        self.in_flight -= 1
        while self._waiting and self.in_flight < int(self.places):
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)

    def delay(self) -> float:
        """Seconds until the server wants to be asked again, with jitter; 0 = now."""
        left = self._not_before - time.monotonic()
        return left + random.uniform(0, min(MOST_JITTER, left)) if left > 0 else 0.0

    def replied(self) -> None:
        """A request went through: one more place for each round of them."""
        self.places = min(float(self.most), self.places + 1 / self.places)

    def limited(self, sent: float, wait: float) -> None:
        """A request got a 429.

        Args:
            sent: when it was sent (`time.monotonic()`). Of the many 429 that one burst earns only the first lowers
                the number: the others were sent before that could help.
            wait: seconds the server asks everybody to wait; 0 = it did not say.
        """
        now = time.monotonic()
        self._not_before = max(self._not_before, now + wait)
        if sent >= self._lowered:
            self.places = max(1.0, self.places * DECREASE)
            self._lowered = now
