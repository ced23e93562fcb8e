"""Many runs under one launcher, each in a process forked from one that has imported everything.

DeepSpeed sets up a process once and for all, so two runs cannot follow each other in one.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.finetune.runs import ROOT, free_ports, write


def train_each(recipes: list[dict[str, Any]], processes: int, **environment: str) -> dict[str, str]:
    """Train all recipes; what went wrong in those that did not end with status 0, by run folder."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    several = processes > 1 or "ACCELERATE_USE_DEEPSPEED" in environment  # which wants a group even of one
    command = [sys.executable, *(start if several else []), __file__, *(str(write(recipe)) for recipe in recipes)]
    ports = ",".join(map(str, free_ports(len(recipes))))
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MEETING_PORTS": ports, **environment}
    result = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    records = [json.loads(line) for line in result.stdout.splitlines() if line.startswith('{"run"')]
    assert len(records) == len(recipes), result.stderr[-3000:]
    return {record["run"]: record["error"] for record in records if record["error"]}


def _train(path: str) -> str:
    """What went wrong, empty if nothing did."""
    from contextlib import redirect_stderr
    from io import StringIO

    from finetune.train import main

    said = StringIO()
    try:
        with redirect_stderr(said):
            return f"status 2: {said.getvalue()}" if main([path, "--quiet"]) else ""
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    import peft
    import transformers

    import finetune.train
    from finetune.engine import stop

    if os.environ.get("ACCELERATE_USE_DEEPSPEED"):
        import deepspeed  # noqa: F401
    assert peft and transformers and finetune.train
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"
    for port, path in zip(os.environ["MEETING_PORTS"].split(","), sys.argv[1:], strict=True):
        child = os.fork()
        if child == 0:
            os.environ["MASTER_PORT"] = port
            stop.LAUNCHER = os.getppid()
            line = json.dumps({"run": Path(path).stem, "error": _train(path)})
            if os.environ.get("RANK", "0") == "0":
                os.write(1, f"{line}\n".encode())
            os._exit(0)
        os.waitpid(child, 0)
