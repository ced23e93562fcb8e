"""Under fsdp2 no process holds the whole model: not while it is read, nor its gradients between micro-batches."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from finetune.folders import weights
from finetune.llama.config import LlamaConfig
from tests.finetune.runs import ROOT

CONFIG = LlamaConfig(
    vocab_size=512, hidden_size=768, intermediate_size=2048, num_hidden_layers=8, num_attention_heads=12,
    max_position_embeddings=64,
)  # fmt: skip
MIB = 2**20
SLACK = 40 * MIB  # of the interpreter and the processes' talk: lazily loaded code, the allocator

CHILD = """
import sys
import torch
from pathlib import Path
from accelerate import Accelerator
from torch.distributed.tensor import DTensor
from finetune.engine.load import fill_cut_model
from finetune.engine.worker import Worker
from finetune.folders import weights
from finetune.llama.attention import Documents
from finetune.parallel import launch
from finetune.recipe import OptimSection, RunSection

def memory(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

accelerator, sharding = launch.start(RunSection("unused", precision="fp32", sharding="fsdp2"), OptimSection(1.0))
grid = launch.make_mesh(accelerator, int(sys.argv[2]))
for name in ("tied", "large"):
    folder = Path(sys.argv[1]) / name
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM, the high-water mark, starts anew
    model = weights.load_without_storage(folder, torch.float32)
    launch.shard(model, model, grid, sharding, "fp32")
    fill_cut_model(model, str(folder), str(launch.weights_device(accelerator)), seed=0)
    peak = memory("VmHWM") - before
    launch.check_sharding(model, sharding, accelerator.num_processes)
    truth = weights.load_model(folder).state_dict()
    for key, weight in model.state_dict().items():
        assert isinstance(weight, DTensor) and torch.equal(weight.full_tensor(), truth[key]), key
    del truth
    print(f"peak {name} {peak}\\n", end="", flush=True)  # at once, else the lines of two processes mix

worker = Worker(accelerator, model, model, None, sharding, False, 0, 2, 1, 1.0)
ids = torch.arange(64)
with worker.accumulating(last=False):
    worker.backward(model(ids, ids, Documents.from_lengths([64])).float().sum())
whole = sum(weight.numel() for weight in model.parameters())
waiting = sum(weight.grad.to_local().numel() for weight in model.parameters())  # AttributeError: it waits elsewhere
assert waiting == sum(weight.to_local().numel() for weight in model.parameters())
assert waiting < 0.6 * whole or grid["data"].size() == 1
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("tensor_parallel", [1, 2])
def test_no_process_holds_the_whole_model(tmp_path: Path, tensor_parallel: int) -> None:
    tied = dataclasses.replace(CONFIG, num_hidden_layers=1, vocab_size=9, tie_word_embeddings=True)
    for name, config in (("tied", tied), ("large", CONFIG)):
        weights.save_model(weights.init_model(config, seed=1).state_dict(), config, tmp_path / name)
    (tmp_path / "child.py").write_text(CHILD)
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [sys.executable, *start, str(tmp_path / "child.py"), str(tmp_path), str(tensor_parallel)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    peaks = [int(line.split()[-1]) for line in result.stdout.splitlines() if line.startswith("peak large")]
    assert len(peaks) == 2
    half, largest = 2 * CONFIG.num_parameters(), 4 * CONFIG.hidden_size * CONFIG.intermediate_size
    assert half > SLACK + 4 * largest  # else the bound below would hold for the whole model
    for peak in peaks:
        assert peak <= half + largest + SLACK, peaks
