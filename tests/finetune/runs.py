"""Runs of the trainer for tests: in this process, or several one after the other under one launcher."""

import json
import os
import random
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

ROOT = Path(__file__).parents[2]


def variant(recipe: dict[str, Any], name: str, **changes: object) -> dict[str, Any]:
    """A copy of a recipe with its own run folder; changes are written `optim__lr=1e-3`."""
    copy: dict[str, Any] = json.loads(json.dumps(recipe))
    copy["run"]["output"] = str(Path(recipe["run"]["output"]).with_name(name))
    for key, value in changes.items():
        section, _, field = key.partition("__")
        copy.setdefault(section, {})[field] = value
    return copy


def write(recipe: dict[str, Any]) -> Path:
    path = Path(recipe["run"]["output"]).with_suffix(".yaml")
    path.write_text(yaml.safe_dump(recipe))
    return path


def run(recipe: dict[str, Any]) -> int:
    """Train in this process; return the exit status."""
    from accelerate.state import AcceleratorState

    from finetune.train import main

    AcceleratorState._reset_state()
    torch.set_num_threads(1)  # sums in the same order as in the launched runs
    return main([str(write(recipe)), "--quiet"])


def launch(recipes: list[dict[str, Any]], processes: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """Train recipes one after the other in processes of their own; the first failure ends it."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *(start if processes > 1 else []), __file__, *(str(write(recipe)) for recipe in recipes)]
    ports = ",".join(map(str, free_ports(len(recipes))))
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MEETING_PORTS": ports, **environment}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, all different.

    Not those that the system gives to outgoing connections (32,768 and above): one of them might take a port before the
    run that is to meet there begins.
    """
    with ExitStack() as opened:
        ports: list[int] = []
        while len(ports) < count:
            port = random.SystemRandom().randint(10_000, 32_000)
            with suppress(OSError):
                opened.enter_context(socket.socket()).bind(("127.0.0.1", port))
                ports.append(port)
        return ports


def deepspeed(stage: int, offload: str = "none") -> dict[str, str]:
    """The variables that `accelerate launch` sets from recipes/launch/deepspeed-zero*.yaml."""
    return {
        "ACCELERATE_USE_DEEPSPEED": "true",
        "ACCELERATE_DEEPSPEED_ZERO_STAGE": str(stage),
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "1",
        "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": offload,
        "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": offload,
        "ACCELERATE_DEEPSPEED_ZERO3_INIT": "false",
        "ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL": "true",
    }


def metrics(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    lines = (Path(recipe["run"]["output"]) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def tensors(recipe: dict[str, Any], file: str = "model/model.safetensors") -> dict[str, torch.Tensor]:
    return load_file(Path(recipe["run"]["output"]) / file)


if __name__ == "__main__":
    from accelerate.state import AcceleratorState

    from finetune.train import main

    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"
    for port, path in zip(os.environ["MEETING_PORTS"].split(","), sys.argv[1:], strict=True):
        # Each run joins its processes anew, at a meeting point of its own.
        AcceleratorState._reset_state(reset_partial_state=True)
        os.environ["MASTER_PORT"] = port
        if status := main([path, "--quiet"]):
            sys.exit(status)
