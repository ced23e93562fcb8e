"""How a sandbox starts a program: what all kinds have in common."""

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from camelid.sandbox.languages import Language
from camelid.sandbox.limits import Limits

# All that a program sees of an environment: hashes, and with them the order of sets, are the same each time.
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class MissingToolError(Exception):
    """A program that the sandbox is made of is not there; the text says which, and how to get it."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A process to start.

    Attributes:
        command: with its arguments.
        environment: None keeps Camelid's own, for a client that hands none of it on.
        files: open files that it is handed.
        folder: where it starts; None where it is.
    """

    command: tuple[str, ...]
    environment: dict[str, str] | None
    files: tuple[int, ...] = ()
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A way of keeping programs in.

    Attributes:
        name: of `--sandbox`.
        help: what the command line says of it.
        launch: makes ready what a program is started with, and afterwards removes whatever is left of it.
            Raises `MissingToolError`.
    """

    name: str
    help: str
    launch: Callable[[Language, Limits], AbstractContextManager[Launch]]


def find_tool(name: str, package: str) -> str:
    """Where a program is.

    Raises:
        MissingToolError: it is not there.
    """
    path = shutil.which(name)
    if path is None:
        raise MissingToolError(f"{name} is not installed (apt-get install {package})")
    return path


def limited(limits: Limits) -> tuple[str, ...]:
    """The start of a command that is held to limits, and leaves no core file. Out of time, it is killed outright."""
    time, memory, disk = (f"{value}:{value}" for value in (limits.cpu_seconds, limits.memory_bytes, limits.disk_bytes))
    limiter = find_tool("prlimit", "util-linux")
    return limiter, f"--cpu={time}", f"--as={memory}", f"--fsize={disk}", "--core=0", "--"


def hand_over(data: bytes) -> int:
    """A file to read from that holds these bytes, fewer than a pipe takes (64 KiB); who gets it closes it."""
    source, target = os.pipe()
    os.write(target, data)
    os.close(target)
    return source
