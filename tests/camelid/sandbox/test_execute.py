"""What a program came to, in each kind of sandbox and language, and what is said where none works."""

import dataclasses
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.sandbox import Failed, Limits, NoSandbox, Passed, TimedOut, run
from camelid.sandbox.execute import require_sandbox, why_missing
from camelid.sandbox.languages import LANGUAGES, Language, python
from camelid.sandbox.limits import limits_beside
from camelid.sandbox.seccomp import MACHINES, seccomp_filter

FINE = {
    "nothing": "",
    "prints": "print('passed')\nassert True",
    "threads": "import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()",
    "asyncio": "import asyncio\nasync def f():\n    return 1\nassert asyncio.run(f()) == 1",
    "own files": "open('mine', 'w').write('x')\nassert open('/tmp/mine').read() == 'x'",
    "packages": "import numpy\nassert numpy.ones(3).sum() == 3",
    "dataclasses, pickle": "import dataclasses, pickle\n@dataclasses.dataclass\nclass A:\n    x: int\n"
    "assert pickle.loads(pickle.dumps(A(1))) == A(1)",
    "other scripts": "assert '\u00e9\U0001f642'.encode() == b'\\xc3\\xa9\\xf0\\x9f\\x99\\x82'",
    "is imported, not started": "assert __name__ != '__main__'",
}
WRONG = {
    "AssertionError: 2 (line 2: assert x == 1, x)": "x = 2\nassert x == 1, x",
    "SystemExit: 0 (line 1: raise SystemExit(0))": "raise SystemExit(0)",
    "killed by SIGSEGV": "import ctypes\nctypes.string_at(0)",
    "it ended before its tests did": "import os\nos._exit(0)",
    "MemoryError (line 1: x = bytearray(1 << 40))": "x = bytearray(1 << 40)",
    "E (line 4: raise E)": "class E(Exception):\n    def __str__(self):\n        raise ValueError\nraise E",
}


@pytest.mark.parametrize("name", FINE)
def test_passes(name: str, sandbox: None) -> None:
    found = run(FINE[name])
    assert isinstance(found, Passed) and 0 < found.seconds < 2, found


@pytest.mark.parametrize("reason", WRONG)
def test_fails(reason: str, sandbox: None) -> None:
    assert run(WRONG[reason]) == Failed(reason)


def test_a_syntax_error_names_its_line(sandbox: None) -> None:
    found = run("x = 1\ndef f(:\n")
    assert isinstance(found, Failed) and found.reason.startswith("SyntaxError") and "line 2: def f(:" in found.reason


def test_many_at_once(sandbox: None) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, [f"assert {number} % 2 == 0" for number in range(12)]))
    assert [isinstance(one, Passed) for one in found] == [number % 2 == 0 for number in range(12)]


def test_unprotected_programs_have_limits_too() -> None:
    assert isinstance(run("assert 1", sandbox="none"), Passed)
    assert run("assert 0", sandbox="none") == Failed("AssertionError (line 1: assert 0)")
    assert isinstance(run("while True: pass", Limits(cpu_seconds=1), sandbox="none"), TimedOut)
    large = run("open('x', 'wb').write(bytes(1 << 20))", Limits(disk_bytes=1 << 16), sandbox="none")
    assert isinstance(large, Failed) and "File too large" in large.reason
    processes = "import os, sys\nif os.fork() == 0:\n    while True: pass"
    assert isinstance(run(processes, Limits(cpu_seconds=1), sandbox="none"), Passed)


def test_a_container_is_asked_for_with_all_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker = tmp_path / "docker"
    docker.write_text(
        f"#!/bin/sh\necho \"$@\" | tr '\\n' ' ' >> {tmp_path}/asked\necho >> {tmp_path}/asked\n"
        f'[ $1 = run ] || exit 0\nwhile [ "$1" != python3 ]; do shift; done\nshift\nexec {sys.executable} "$@"\n'
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    why_missing.cache_clear()
    try:
        assert isinstance(run("assert 1", sandbox="docker"), Passed)
        assert run("assert 0", sandbox="docker") == Failed("AssertionError (line 1: assert 0)")
    finally:
        why_missing.cache_clear()
    started, removed = (tmp_path / "asked").read_text().splitlines()[-2:]
    for wanted in ("--network none", "--read-only", "--cap-drop ALL", "--memory 1073741824", "--ulimit cpu=2:2"):
        assert wanted in started
    name = started.split("--name ")[1].split()[0]
    assert removed.split() == ["rm", "--force", name]


@pytest.mark.parametrize("name", ["bubblewrap", "docker"])
def test_without_a_sandbox_nothing_runs_and_the_choices_are_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    why_missing.cache_clear()
    try:
        found = run("open('/tmp/ran', 'w')", sandbox=name)
        assert isinstance(found, NoSandbox) and "is not installed" in found.reason
        assert "--sandbox none" in found.reason and f"--sandbox {name}" not in found.reason
        with pytest.raises(UserError, match="--sandbox none"):
            require_sandbox(name)
    finally:
        why_missing.cache_clear()


def test_another_language_is_an_entry(sandbox: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Language(
        name="sh",
        fences=("sh",),
        interpreter=os.path.realpath("/bin/sh"),
        arguments=("-e",),
        folders=(*python().folders, os.path.realpath("/bin/sh")),
        image="debian:stable-slim",
        image_command=("sh", "-e"),
        stdin=lambda program, nonce: f"{program}\necho {nonce}\n".encode(),
        ending=lambda nonce: nonce,
    )
    monkeypatch.setitem(LANGUAGES, "sh", lambda: shell)
    assert isinstance(run("test $((2 + 2)) = 4", language="sh"), Passed)
    assert isinstance(run("test $((2 + 2)) = 5", language="sh"), Failed)
    assert run("exit 0", language="sh") == Failed("it ended before its tests did")
    assert isinstance(run("for i in 1 2 3 4; do printf '%20000d\\n' 0; done", language="sh"), Passed)


def test_seconds_follow_the_reference() -> None:
    assert [limits_beside(seconds).cpu_seconds for seconds in (0.0, 0.05, 0.2, 0.21, 1.5)] == [2, 2, 2, 3, 15]
    assert dataclasses.replace(limits_beside(0.3)).wall_seconds == 30


def test_the_filter_is_of_this_processor() -> None:
    assert seccomp_filter("sparc64") is None
    for machine in MACHINES:
        filter = seccomp_filter(machine)
        assert filter is not None and len(filter) % 8 == 0
