"""What running a program came to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Passed:
    """It ran to the end of its tests.

    Attributes:
        seconds: of CPU time, the interpreter's start included.
    """

    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not get to the end of its tests.

    Attributes:
        reason: one line: the exception and where it was raised, the signal, or that it ended early.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class TimedOut:
    """It used up its CPU seconds, or slept for longer than any program needs."""


@dataclass(frozen=True, slots=True)
class NoSandbox:
    """It was not run: the sandbox does not work on this machine.

    Attributes:
        reason: why not, and what can be chosen instead.
    """

    reason: str


Execution = Passed | Failed | TimedOut | NoSandbox
