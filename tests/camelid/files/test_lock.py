"""One process at a time, and a lock that dies with its holder."""

import signal
import subprocess
import sys
import time
from pathlib import Path

from camelid.files.lock import exclusive_lock

HOLD = """
import sys, time
from camelid.files.lock import exclusive_lock
with exclusive_lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.readline() == b"held\n"
    waiter = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert waiter.stderr and f"waiting for process {holder.pid}".encode() in waiter.stderr.readline()
    holder.send_signal(signal.SIGKILL)
    assert waiter.stdout and waiter.stdout.readline() == b"held\n"
    waiter.kill()
    waiter.wait()
    holder.wait()
    started = time.monotonic()
    with exclusive_lock(path):
        assert time.monotonic() - started < 1
