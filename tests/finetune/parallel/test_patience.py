"""What one process does on the host may take longer than the others' collective operations wait."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.finetune.runs import ROOT, variant, write

# Operations of the training wait for 10 s; tokenising, reading the model, saving and writing it take 12 on one process.
CHILD = """
import os
import sys
import time
from datetime import timedelta
from torch import distributed
from finetune.data import token_data
from finetune.engine import checkpoint
from finetune.folders import weights
from finetune.train import main

join = distributed.init_process_group
distributed.init_process_group = lambda *args, **options: join(*args, **options | {"timeout": timedelta(seconds=10)})

def slow(module, name, rank):
    quick = getattr(module, name)
    def work(*args, **options):
        if os.environ["RANK"] == rank:
            print("slow", name, flush=True)
            time.sleep(12)
        return quick(*args, **options)
    setattr(module, name, work)

slow(token_data, "_fill", "0")
slow(weights, "load_model", "1")
slow(checkpoint, "_sync_tree", "0")
slow(weights, "save_model", "0")
sys.exit(main([sys.argv[1], "--quiet"]))
"""


@pytest.mark.slow
def test_the_host_may_work_longer_than_collectives_wait(toy_recipe: dict[str, Any], tmp_path: Path) -> None:
    ours = variant(toy_recipe, "slow", run__processes=2, optim__updates=3)
    (tmp_path / "child.py").write_text(CHILD)
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(tmp_path / "child.py")]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *start, str(write(ours))]
    result = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    slow = [line for line in result.stdout.splitlines() if line.startswith("slow")]
    assert slow == [f"slow {name}" for name in ("_fill", "load_model", "_sync_tree", "_sync_tree", "save_model")]
