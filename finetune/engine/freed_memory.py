"""Freed memory of a run on a CPU stays with the process, for the next micro-batch."""

import ctypes
import os
import sys

# Parameters of GNU's `mallopt` (malloc.h), and the most that it takes for the second.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_THRESHOLD = 32 * 2**20


def keep_freed_memory() -> None:
    """Ask GNU's C library to give no freed memory back to the system, but blocks of more than 32 MiB.

    By itself it gives back what a backward pass frees, page by page, and the next forward pass has the system clear and
    map all pages anew: 3% of a step of `benchmarks/train_cpu.py`. The most that a run has at once stays the same.
    Other C libraries are left as they are, and so is one that the user has set up.
    """
    set_up = any(name == "GLIBC_TUNABLES" or name.startswith("MALLOC_") for name in os.environ)
    if sys.platform != "linux" or set_up:
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_THRESHOLD)
        library.mallopt(M_TRIM_THRESHOLD, -1)  # never
