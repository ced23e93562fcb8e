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


def test_nothing_is_left_of_a_lock(tmp_path: Path) -> None:
    with exclusive_lock(tmp_path / "new" / "folder" / "lock"):
        assert (tmp_path / "new" / "folder" / "lock").exists()
    assert not list(tmp_path.iterdir())
    with exclusive_lock(tmp_path / "new" / "lock"):
        (tmp_path / "new" / "kept").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["kept"]


COUNT = """
import sys
from pathlib import Path
from camelid.files.lock import exclusive_lock
for _ in range(200):
    with exclusive_lock(sys.argv[1] + "/made/lock"):
        path = Path(sys.argv[1], "count")
        path.write_text(str(int(path.read_text()) + 1))
"""


def test_holders_that_take_turns_never_meet(tmp_path: Path) -> None:
    """Three processes add to a number, each reading it before it writes: one meeting would lose a count."""
    (tmp_path / "count").write_text("0")
    command = [sys.executable, "-c", COUNT, str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "600"
