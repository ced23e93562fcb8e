"""A polite end: SIGTERM and SIGINT ask the run to save and leave, and so does the end of what launched it."""

import os
import signal
from types import FrameType, TracebackType

# What torchrun and DeepSpeed, or `accelerate launch` of one process, tell those that they start.
LAUNCHED = "LOCAL_RANK" in os.environ or "ACCELERATE_MIXED_PRECISION" in os.environ
LAUNCHER = os.getppid()  # as this process begins


class StopSignal:
    """While it is entered, the first SIGTERM or SIGINT sets `wanted`; a second SIGINT interrupts at once.

    A launcher that was killed passes no signal on: its workers, which have another parent then, count that as one.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    @property
    def wanted(self) -> bool:
        if self.signal is None and LAUNCHED and os.getppid() != LAUNCHER:
            self.signal = signal.SIGTERM
        return self.signal is not None

    def __enter__(self) -> "StopSignal":
        for number in self._before:
            signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
