"""How much a program may use."""

from dataclasses import dataclass

LEAST_SECONDS = 2  # of CPU: the start of an interpreter is a tenth of one on a slow machine
OF_REFERENCE = 10  # times what the reference solution takes


@dataclass(frozen=True, slots=True)
class Limits:
    """What stops a program.

    Attributes:
        cpu_seconds: of CPU time, which other programs on the machine don't change.
        memory_bytes: of address space.
        disk_bytes: of its folder, which only it sees, and of any one file.
    """

    cpu_seconds: int = LEAST_SECONDS
    memory_bytes: int = 1 << 30
    disk_bytes: int = 16 << 20

    @property
    def wall_seconds(self) -> float:
        """When it is stopped if it does nothing at all: ten times as late, for machines that are busy with others."""
        return 10.0 * self.cpu_seconds


def limits_beside(reference_seconds: float) -> Limits:
    """The limits for solutions of a task whose reference solution takes so many CPU seconds."""
    return Limits(max(LEAST_SECONDS, -int(-OF_REFERENCE * reference_seconds // 1)))
