"""A model that is quantised or cut is never whole in memory, measured in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from finetune.folders import weights
from finetune.llama.config import LlamaConfig
from tests.finetune.runs import ROOT, deepspeed

CONFIG = LlamaConfig(
    vocab_size=512, hidden_size=768, intermediate_size=2048, num_hidden_layers=8, num_attention_heads=12,
    max_position_embeddings=64,
)  # fmt: skip
MIB = 2**20
SLACK = 48 * MIB  # of the interpreter and the processes' talk: lazily loaded code, the allocator

START = """
import gc, sys, torch
from pathlib import Path
from finetune.engine.load import fill_cut_model, load_in_parts, load_quantised
from finetune.engine.adapter import add_adapter
from finetune.folders import weights
from finetune.recipe import LINEAR_LAYERS, AdapterSection, OptimSection, RunSection

def memory(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

def peak(work, name):
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM, the high-water mark, starts anew
    kept = work()
    print(f"peak {name} {memory('VmHWM') - before}\\n", end="", flush=True)
    return kept

root = Path(sys.argv[1])
"""
QUANTISED = """
load = lambda name: load_quantised(str(root / name), torch.bfloat16, LINEAR_LAYERS, "cpu")
load("tiny")
peak(lambda: load("large"), "large")
"""
CUT = """
from finetune.parallel import launch
sharding = sys.argv[2]
accelerator, _ = launch.start(RunSection("unused", precision="fp32", sharding=sharding), OptimSection(1.0))
adapter = AdapterSection(kind="dora", rank=4)

def load(name):
    path = str(root / name)
    if sharding == "zero3":
        settings = accelerator.state.deepspeed_plugin.deepspeed_config
        return load_in_parts(path, torch.float32, adapter, 0, settings)
    model = weights.load_without_storage(path, torch.float32)
    wrapped = add_adapter(model, adapter, path, 0)
    launch.shard(wrapped, model, launch.make_mesh(accelerator, 1), sharding, "fp32")
    fill_cut_model(model, path, "cpu", 0)
    return wrapped

load("tiny")
peak(lambda: load("large"), "large")
"""


def peaks(folder: Path, code: str, *arguments: str, processes: int = 1, **environment: str) -> list[int]:
    for name, layers in (("tiny", 1), ("large", CONFIG.num_hidden_layers)):
        config = LlamaConfig(**{**CONFIG.__dict__, "num_hidden_layers": layers})
        weights.save_model(weights.init_model(config, seed=1).state_dict(), config, folder / name)
    (folder / "child.py").write_text(START + code)
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *(start if processes > 1 else []), str(folder / "child.py"), str(folder), *arguments]
    environment["MALLOC_MMAP_THRESHOLD_"] = "1000000"  # what is freed goes back at once, and is not counted
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    result = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    found = [int(line.split()[-1]) for line in result.stdout.splitlines() if line.startswith("peak large")]
    assert len(found) == processes
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_quantised_as_it_is_read(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    halves = 2 * CONFIG.num_parameters()
    [peak] = peaks(tmp_path, QUANTISED)
    assert peak <= 0.4 * halves + SLACK < halves, peak


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("sharding", ["fsdp2", "zero3"])
def test_an_adapters_base_is_cut_as_it_is_read(tmp_path: Path, sharding: str) -> None:
    if sharding == "zero3":
        pytest.importorskip("deepspeed")
    whole = 4 * CONFIG.num_parameters()
    layer = 4 * CONFIG.num_parameters() // CONFIG.num_hidden_layers
    environment = deepspeed(3) if sharding == "zero3" else {}
    for peak in peaks(tmp_path, CUT, sharding, processes=2, **environment):
        assert peak <= whole / 2 + layer + SLACK < whole, peak
