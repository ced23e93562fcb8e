"""The sandbox of the Linux kernel's own means, set up by bubblewrap (`bwrap`).

A program has user, mount, network, process and IPC namespaces of its own: it sees the interpreter, read-only, and an
empty folder in memory; it has no network, and everything it started ends with it. The filter in
`camelid/sandbox/seccomp.py` refuses it further processes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from camelid.sandbox.languages import Language
from camelid.sandbox.launch import ENVIRONMENT, Launch, MissingToolError, Sandbox, find_tool, hand_over, limited
from camelid.sandbox.limits import Limits
from camelid.sandbox.seccomp import seccomp_filter

NOBODY = "65534"
_ALONE = ("user", "ipc", "pid", "net", "uts")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")


@contextmanager
def _launch(language: Language, limits: Limits) -> Iterator[Launch]:
    wrapper, refused = find_tool("bwrap", "bubblewrap"), seccomp_filter()
    if refused is None:
        raise MissingToolError(f"there is no filter of system calls for {os.uname().machine}")
    source = hand_over(refused)
    options = [f"--unshare-{name}" for name in _ALONE]
    options += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    options += ["--as-pid-1"]  # bwrap waits for it; it would leave a process between to whoever reaps orphans
    options += ["--uid", NOBODY, "--gid", NOBODY, "--seccomp", str(source)]
    options += ["--size", str(limits.disk_bytes), "--tmpfs", "/tmp"]  # first: the interpreter's folders may lie in it
    for folder in language.folders:
        if Path(folder).exists():
            options += ["--ro-bind", folder, folder]
    for device in _DEVICES:
        options += ["--dev-bind", device, device]
    options += ["--remount-ro", "/", "--chdir", "/tmp"]
    command = (*limited(limits), wrapper, *options, "--", language.interpreter, *language.arguments)
    try:
        yield Launch(command, ENVIRONMENT, files=(source,))
    finally:
        os.close(source)


BUBBLEWRAP = Sandbox("bubblewrap", "Linux namespaces, made by bubblewrap", _launch)
