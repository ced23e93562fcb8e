"""One program run in a sandbox: started, stopped in time, and asked for the proof that it got to its end."""

import os
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from functools import cache
from typing import IO

from camelid.errors import UserError
from camelid.sandbox.languages import LANGUAGES, Language
from camelid.sandbox.launch import Launch, MissingToolError
from camelid.sandbox.limits import Limits
from camelid.sandbox.python_launcher import NONCE
from camelid.sandbox.table import DEFAULT, SANDBOXES
from camelid.sandbox.verdict import Execution, Failed, NoSandbox, Passed, TimedOut

READ = 1 << 16  # bytes of the end of what a program wrote
TICKS = 0.9  # the kernel counts CPU time by ticks: its second is up to some hundredths short of the clock's
EARLY = "it ended before its tests did"
_NOTHING = Limits(cpu_seconds=10)


def run(program: str, limits: Limits | None = None, sandbox: str = DEFAULT, language: str = "python") -> Execution:
    """Run a program with its tests; it blocks, and may be called from many threads at once.

    Args:
        program: the source: what is to be tested, and then the tests, which raise where they fail.
        limits: None for those of `Limits`.
        sandbox: a name of `camelid.sandbox.table.SANDBOXES`.
        language: a name of `camelid.sandbox.languages.LANGUAGES`.
    """
    missing = why_missing(sandbox)
    return NoSandbox(missing) if missing else _run(program, limits or Limits(), sandbox, LANGUAGES[language]())


@cache
def why_missing(sandbox: str = DEFAULT) -> str | None:
    """Why a sandbox does not work on this machine, and what to choose instead; None if it does. Tried once."""
    try:
        found = _run("", _NOTHING, sandbox, LANGUAGES["python"]())
    except (MissingToolError, OSError) as error:
        reason = str(error)
    else:
        if isinstance(found, Passed):
            return None
        reason = found.reason if isinstance(found, Failed) else "it does not answer"
    others = [f"--sandbox {name} ({kind.help})" for name, kind in SANDBOXES.items() if name != sandbox]
    return f"the sandbox {sandbox} does not work here: {reason}; choose {' or '.join(others)}"


def require_sandbox(sandbox: str) -> None:
    """Stop before anything is paid for that could not be run.

    Raises:
        UserError: the sandbox does not work on this machine; the text names the choices.
    """
    missing = why_missing(sandbox)
    if missing:
        raise UserError(missing)


def _run(program: str, limits: Limits, sandbox: str, language: Language) -> Execution:
    nonce = secrets.token_hex(NONCE // 2)
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as said,
        SANDBOXES[sandbox].launch(language, limits) as launch,
    ):
        given.write(language.stdin(program, nonce))
        given.seek(0)
        status, seconds, late = _wait(_start(launch, given, said), limits.wall_seconds)
        said.seek(max(0, said.seek(0, os.SEEK_END) - READ))
        lines = said.read(READ).decode("utf-8", "replace").rstrip().splitlines() or [""]
    if status == 0 and lines[-1].strip() == language.ending(nonce):
        return Passed(_seconds(lines[-2:-1]))
    # bubblewrap and Docker pass a signal on as 128 and its number, as shells do.
    number = -status if status < 0 else status - 128
    if late or (number == signal.SIGKILL and seconds >= TICKS * limits.cpu_seconds):
        return TimedOut()
    if number in {one.value for one in signal.Signals}:
        return Failed(f"killed by {signal.Signals(number).name}")
    own = [line for line in lines if line.startswith(("bwrap: ", "docker: "))]
    return Failed([*own, lines[-1].strip()][0] if status and lines[-1].strip() else EARLY)


def _seconds(lines: list[str]) -> float:
    """What the line before the last says of a program's CPU time; 0 in a language that says nothing of it."""
    try:
        return float(lines[0])
    except (IndexError, ValueError):
        return 0.0


def _start(launch: Launch, given: IO[bytes], said: IO[bytes]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        launch.command,
        stdin=given,
        stdout=said,
        stderr=said,
        env=launch.environment,
        pass_fds=launch.files,
        cwd=launch.folder,
        start_new_session=True,
    )


def _wait(process: "subprocess.Popen[bytes]", wall: float) -> tuple[int, float, bool]:
    """Exit status (negative: the signal), seconds it took, and whether it was stopped because these were too many."""
    late, began = threading.Event(), time.monotonic()

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(wall, stop)
    timer.start()
    try:
        status = process.wait()
    finally:
        timer.cancel()
        if process.returncode is None:  # interrupted
            process.kill()
            process.wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # what an unprotected program left behind
    return status, time.monotonic() - began, late.is_set()
