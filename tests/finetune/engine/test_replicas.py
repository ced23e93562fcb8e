"""Processes that hold the same weights go on holding the same, and where they don't, the run says so and stops."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from tests.finetune.runs import ROOT, free_ports, variant, write

# Two runs on the same processes: each keeps its own weights at the end; in the second, one of them loses its way.
CHILD = """
import os
import sys
from accelerate.state import AcceleratorState
from safetensors.torch import save_file
from finetune.engine.worker import Worker
from finetune.sft import train as loop
from finetune.train import main

os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "False"
write_results, step = loop.write_results, Worker.step

def keep(worker, ledgers, recipe, *rest):
    state = {name: weight.clone() for name, weight in worker.unwrapped.state_dict().items()}
    save_file(state, f"{recipe.run.output}/rank-{worker.accelerator.process_index}.safetensors")
    write_results(worker, ledgers, recipe, *rest)

def stray(self):
    result = step(self)
    if self.accelerator.process_index == 1:
        self.unwrapped.model.layers[1].mlp.up_proj.weight.data[3, 5] += 1e-3
    return result

loop.write_results = keep
for path, port in zip(sys.argv[1:], os.environ["MEETING_PORTS"].split(","), strict=True):
    AcceleratorState._reset_state(reset_partial_state=True)
    os.environ["MASTER_PORT"] = port
    Worker.step = stray if "stray" in path else step
    status = main([path, "--quiet"])
sys.exit(status)
"""


def test_replicas(toy_recipe: dict[str, Any], tmp_path: Path) -> None:
    """DistributedDataParallel in pure bfloat16, whose weights are rounded at random."""
    pure = variant(toy_recipe, "pure", run__precision="bf16-pure", run__processes=2, optim__updates=3)
    stray = variant(pure, "stray")
    (tmp_path / "child.py").write_text(CHILD)
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(tmp_path / "child.py")]
    ports = ",".join(map(str, free_ports(2)))
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MEETING_PORTS": ports}
    command = [sys.executable, *start, str(write(pure)), str(write(stray))]
    result = subprocess.run(command, env=variables, capture_output=True, text=True)
    first, second = (Path(pure["run"]["output"]) / f"rank-{rank}.safetensors" for rank in (0, 1))
    assert second.is_file(), result.stderr[-3000:]
    weights, others = load_file(first), load_file(second)
    different = {name: int((weight != others[name]).sum()) for name, weight in weights.items()}
    assert not any(different.values()), different
    assert "update 2: processes that should hold the same weights differ in 1 of " in result.stderr
    assert "tensors, the first model.layers.1.mlp.up_proj.weight; nothing was saved" in result.stderr
    assert not list((Path(stray["run"]["output"]) / "checkpoints").glob("update-*"))
