"""A polite end: SIGTERM and SIGINT ask the run to save and leave."""

import signal
from types import FrameType, TracebackType


class StopSignal:
    """While it is entered, the first SIGTERM or SIGINT sets `wanted`; a second SIGINT interrupts at once."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    @property
    def wanted(self) -> bool:
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
