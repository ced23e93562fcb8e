"""Programs that would do harm touch nothing, leave no process and never pass, with the machine's CPUs busy or not."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from camelid.sandbox import Failed, Limits, Passed, TimedOut, run

# Each would end well, and say so, if nothing kept it in. CANARY is a file outside, PORT one that somebody listens at.
HOSTILE = {
    "writes": "open(CANARY, 'w').write('gone')",
    "reads": "print(open(CANARY).read()); open('/etc/passwd').read()",
    "forks": "import os\nif os.fork() == 0:\n    while True: pass",
    "fork bomb": "import os\nmade = 0\nwhile True:\n    os.fork()\n    made += 1",
    "network": "import socket\nsocket.create_connection(('127.0.0.1', PORT), timeout=1)",
    "leaves": "import os\nos._exit(0)",
    "walks the stack": """
import gc, os, sys
said = ["passed", "ok"]
frame = sys._getframe()
while frame:
    for value in [*frame.f_locals.values(), *frame.f_code.co_consts]:
        if isinstance(value, list):
            value.append("passed")
        said.append(str(value))
    frame = frame.f_back
said += [str(one) for one in gc.get_objects() if isinstance(one, (str, bytes))]
for place in range(20):
    try:
        said.append(os.read(place, 1000).decode())
    except OSError:
        pass
for place in range(20):
    for text in said:
        try:
            os.write(place, text.encode() + b"\\n")
        except OSError:
            pass
os._exit(0)""",
    "disk": "for number in range(10**6):\n    open(f'/tmp/{number}', 'wb').write(bytes(1 << 20))",
    "memory": "kept = []\nwhile True:\n    kept.append(bytearray(1 << 24))",
    "endless": "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    pass",
    "orphan": "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'while 1: 1'], start_new_session=True)",
    "asks": "assert input() == ''",
}


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that do nothing but take CPU time."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def left_running(limits: Limits) -> list[str]:
    """The processes that were started under these limits, which no others have."""
    found = []
    for path in Path("/proc").glob("[0-9]*/limits"):
        try:
            text = path.read_text()
        except OSError:  # it has ended, or is another user's
            continue
        if f" {limits.disk_bytes} " in text:
            found.append(path.parent.name)
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_program(name: str, sandbox: None, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("alive")
    limits = Limits(cpu_seconds=1, memory_bytes=256 << 20, disk_bytes=(8 << 20) + 8 * os.getpid())
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        program = f"CANARY, PORT = {str(canary)!r}, {server.getsockname()[1]}\n{HOSTILE[name]}\n"
        found = run(program, limits)
        with pytest.raises(TimeoutError):
            server.accept()
    assert isinstance(found, TimedOut if name == "endless" else Failed), found
    assert canary.read_text() == "alive" and list(tmp_path.iterdir()) == [canary]
    for _ in range(20):  # the kernel ends a namespace's processes when it gets to it
        if not left_running(limits):
            break
        time.sleep(0.05)
    assert not left_running(limits)


def test_sleeping_for_ever_is_out_of_time(sandbox: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "wall_seconds", 0.5)
    assert isinstance(run("import time\ntime.sleep(1e6)"), TimedOut)


@pytest.mark.slow
def test_verdicts_are_the_same_with_the_cpus_busy(sandbox: None) -> None:
    half = "import time\nwhile time.process_time() < 0.5:\n    pass\n"  # of the CPU seconds there are
    programs = [half, half + "assert False", HOSTILE["endless"], HOSTILE["leaves"], "assert sum(range(10)) == 45"]
    limits = Limits(cpu_seconds=1)
    idle = [type(run(program, limits)) for program in programs]
    with busy(4 * (os.cpu_count() or 1)):
        loaded = [type(run(program, limits)) for program in programs]
    assert idle == loaded == [Passed, Failed, TimedOut, Failed, Passed]
