"""The sandbox of a Docker container, for machines where bubblewrap cannot make namespaces."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from camelid.sandbox.languages import Language
from camelid.sandbox.launch import ENVIRONMENT, Launch, Sandbox, find_tool
from camelid.sandbox.limits import Limits

MOST_PROCESSES = 64  # of threads too
STOPPING = 30  # seconds for the daemon to remove a container


@contextmanager
def _launch(language: Language, limits: Limits) -> Iterator[Launch]:
    """A container of its own for each program; it is removed whatever became of the client."""
    docker, name, seconds = find_tool("docker", "docker.io"), f"camelid-{uuid.uuid4().hex}", limits.cpu_seconds
    options = ["--rm", "--interactive", "--name", name, "--network", "none", "--read-only", "--cap-drop", "ALL"]
    options += ["--security-opt", "no-new-privileges", "--user", "65534:65534", "--workdir", "/tmp", "--init"]
    options += ["--tmpfs", f"/tmp:size={limits.disk_bytes},mode=1777", "--pids-limit", str(MOST_PROCESSES)]
    options += ["--memory", str(limits.memory_bytes), "--memory-swap", str(limits.memory_bytes)]
    options += ["--ulimit", f"cpu={seconds}:{seconds}", "--ulimit", f"fsize={limits.disk_bytes}"]
    options += [part for name, value in ENVIRONMENT.items() if name != "PATH" for part in ("--env", f"{name}={value}")]
    try:
        yield Launch((docker, "run", *options, language.image, *language.image_command), dict(os.environ))
    finally:
        subprocess.run([docker, "rm", "--force", name], capture_output=True, timeout=STOPPING, check=False)


DOCKER = Sandbox("docker", "a Docker container without network, of the image python:VERSION-slim", _launch)
