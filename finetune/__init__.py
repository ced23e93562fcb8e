"""The native LLaMA and the runner that fine-tunes it."""

import os

# The threads of GNU's OpenMP, which torch computes with, wait for each other by spinning: 300,000 rounds before they
# sleep, in which a thread holds the core that the one it waits for needs, if another program has the other cores. It is
# read as torch is loaded, and this package alone loads torch (`pyproject.toml`), so it is set here. Where the user has
# said how threads wait, that stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # `benchmarks/busy_neighbour.py`
