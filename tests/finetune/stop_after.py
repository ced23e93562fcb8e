"""A stop that comes at the same moment in every run of a test."""

import signal

from finetune.engine.stop import StopSignal


class StopAfter(StopSignal):
    """Stops as a signal would, after it was asked so often: after updates, and between micro-batches of `sft`."""

    left = 0

    @property
    def wanted(self) -> bool:
        StopAfter.left -= 1
        if StopAfter.left <= 0:
            self.signal = signal.SIGTERM
        return self.signal is not None
