"""Whole runs on a CPU take the memory that the plan says, measured in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finetune.folders import weights
from finetune.folders.merge import copy_tokenizer
from finetune.layout import Layout
from finetune.llama.config import LlamaConfig
from finetune.memory import estimate_host_memory, estimate_memory
from finetune.recipe import read_recipe
from tests.finetune.runs import ROOT, free_ports, metrics, variant, write

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

# 81 million parameters: Python's own memory, which the plan leaves out, varies by some megabytes.
LARGE = LlamaConfig(
    vocab_size=2048, hidden_size=1024, intermediate_size=2816, num_hidden_layers=6, num_attention_heads=16,
    max_position_embeddings=512, bos_token_id=1, eos_token_id=2,
)  # fmt: skip

CHILD = """
import gc, os, sys
from pathlib import Path
import torch
from accelerate.state import AcceleratorState
import finetune.sft.train as loop
from finetune.train import main

def memory(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

def updates(*arguments):
    result = run_updates(*arguments)
    print(f"peak {memory('VmHWM') - before}\\n", end="", flush=True)  # at once, else the lines of two processes mix
    return result

torch.set_num_threads(1)
os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"
tiny, large = sys.argv[1:]
for recipe, port in zip((tiny, large), os.environ["MEETING_PORTS"].split(",")):
    AcceleratorState._reset_state(reset_partial_state=True)
    os.environ["MASTER_PORT"] = port
    gc.collect()
    if recipe == large:  # all code has been loaded
        run_updates, loop.run_updates = loop.run_updates, updates
        before = memory("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM, the high-water mark, starts anew
    assert main([recipe, "--quiet"]) == 0
"""


def peaks(tiny: dict[str, Any], large: dict[str, Any], processes: int) -> list[int]:
    """Bytes that each process of the second run needed at most, until its last checkpoint, beside Python itself."""
    child = Path(large["run"]["output"]).with_name("child.py")
    child.write_text(CHILD)
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *(start if processes > 1 else []), str(child), str(write(tiny)), str(write(large))]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    variables["MEETING_PORTS"] = ",".join(map(str, free_ports(2)))
    variables["MALLOC_MMAP_THRESHOLD_"] = "65536"  # what is freed goes back at once, with no holes left
    result = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    found = [int(line.split()[-1]) for line in result.stdout.splitlines() if line.startswith("peak ")]
    assert len(found) == processes
    return found


def planned(recipe: dict[str, Any], layout: Layout) -> float:
    """Bytes a process of a run on a CPU, where the copy of the last checkpoint is beside what it was made of."""
    section = read_recipe(write(recipe))
    tokens = max(record["tokens"] for record in metrics(recipe))  # what the rows held, not what they might have
    capacity = tokens // layout.processes // section.optim.micro_batch
    parts = estimate_memory(LARGE, section.model, section.optim, section.adapter, section.run, capacity, layout)
    copy = sum(estimate_host_memory(LARGE, section.adapter, section.run, parts, layout).values())
    return max(sum(parts.values()), parts["weights"] + parts["optimizer"] + copy)


@pytest.fixture(scope="module")
def large_model(tmp_path_factory: pytest.TempPathFactory, toy_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("model") / "large"
    weights.save_model(weights.init_model(LARGE, seed=1).state_dict(), LARGE, folder)
    copy_tokenizer([toy_model], folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "precision", "sharding"),
    [
        ("none", "fp32", "none"),
        ("lora", "fp32", "none"),
        ("dora", "fp32", "none"),
        ("lora", "bf16", "none"),
        ("none", "bf16-pure", "none"),
        ("qlora", "bf16", "none"),
        ("none", "bf16", "none"),
        ("dora", "bf16", "none"),
        ("none", "fp32", "fsdp2"),
    ],
)
def test_a_run_takes_what_its_plan_says(
    toy_recipe: dict[str, Any], tmp_path: Path, large_model: Path, kind: str, precision: str, sharding: Any
) -> None:
    if kind == "qlora":
        pytest.importorskip("bitsandbytes")
    processes = 1 if sharding == "none" else 2
    long = [{"role": role, "content": "red cat sees blue dog " * 15} for role in ("user", "assistant")]
    data = tmp_path / "long.jsonl"
    data.write_text("".join(json.dumps({"id": str(n), "messages": long}) + "\n" for n in range(8)))
    tiny = variant(toy_recipe, "tiny", optim__updates=2, optim__global_batch=2 * processes)
    tiny["data"] |= {"train": [{"path": str(data)}], "max_length": 256}
    tiny["run"] |= {"precision": precision, "sharding": sharding, "processes": processes, "checkpoint_every": 99}
    tiny["adapter"] = {"kind": kind, **({"rank": 64} if kind != "none" else {})}
    large = variant(tiny, "large", model__path=str(large_model))
    found = peaks(tiny, large, processes)
    plan = planned(large, Layout(processes, 1, sharding))
    assert all(peak == pytest.approx(plan, rel=0.08) for peak in found), (plan, found)
