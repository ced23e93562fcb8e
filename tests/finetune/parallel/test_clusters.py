"""The jobs for clusters start what they say, with programs of Slurm's names that act it on this machine."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from camelid.app.cli import build_parser
from finetune.layout import read_launch_file
from finetune.recipe import read_recipe
from tests.finetune.runs import ROOT, free_ports, metrics, run, variant, write

CLUSTERS = ROOT / "recipes" / "clusters"
SLURM = CLUSTERS / "slurm.sbatch"
SRUN = """#!/bin/bash
shift # --wait
for ((rank = 0; rank < SLURM_NTASKS; rank++)); do
  SLURM_PROCID=$rank SLURM_LOCALID=$((rank % SLURM_NTASKS_PER_NODE)) "$@" &
done
status=0
for job in $(jobs -p); do wait "$job" || { last=$?; ((last > status)) && status=$last; }; done
exit $status
"""
SCONTROL = """#!/bin/bash
if [ "$1" = show ]; then printf '%s\\n' first second; else echo "$@" >> "$(dirname "$0")/requeued"; fi
"""
TOLD = """#!/bin/bash
exec {python} -c '
import json, os, sys
print(json.dumps([sys.argv[1:], dict(os.environ)]) + "\\n", end="")
sys.exit({status})
' "$@"
"""


def submit(
    programs: Path, tasks: int, *arguments: str, nodes: int = 1, script: str = SLURM.read_text(), **stubs: str
) -> subprocess.CompletedProcess[str]:
    """Run a batch script as Slurm would, on this machine alone."""
    programs.mkdir(exist_ok=True)
    for name, text in {"srun": SRUN, "scontrol": SCONTROL, **stubs}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    given = {"JOB_ID": "7", "JOB_NODELIST": "first,second", "NTASKS": str(tasks)}
    given["NTASKS_PER_NODE"] = str(tasks // nodes)
    variables = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    variables |= {f"SLURM_{name}": value for name, value in given.items()}
    command = ["bash", "-s", *arguments]
    return subprocess.run(command, input=script, cwd=ROOT, env=variables, capture_output=True, text=True)


def test_slurm_starts_one_process_a_gpu(tmp_path: Path) -> None:
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(.+)$", SLURM.read_text(), re.MULTILINE))
    assert asked["ntasks-per-node"] == asked["gpus-per-node"]
    tasks = int(asked["nodes"]) * int(asked["ntasks-per-node"])
    python = TOLD.format(python=sys.executable, status=0)
    result = submit(tmp_path / "bin", tasks, nodes=int(asked["nodes"]), python=python)
    assert result.returncode == 0, result.stderr
    started = sorted((json.loads(line) for line in result.stdout.splitlines()), key=lambda one: int(one[1]["RANK"]))
    assert [(int(one["RANK"]), int(one["LOCAL_RANK"])) for _, one in started] == [(n, n % 8) for n in range(tasks)]
    for (module, recipe, *changes), variables in ((arguments[1:], seen) for arguments, seen in started):
        assert (module, variables["MASTER_ADDR"], variables["WORLD_SIZE"]) == ("finetune.train", "first", str(tasks))
        sections = read_recipe(ROOT / recipe, changes)
        assert (sections.run.processes, sections.run.sharding) == (tasks, "fsdp2")


def test_slurm_begins_again_what_its_signal_stopped(tmp_path: Path) -> None:
    """And nothing that failed."""
    for status, requeued in ((2, False), (143, True)):
        python = TOLD.format(python=sys.executable, status=status)
        assert submit(tmp_path / "bin", 2, "recipes/smoke.yaml", "optim.lr=1e-3", python=python).returncode == status
        assert (tmp_path / "bin" / "requeued").exists() == requeued
    assert (tmp_path / "bin" / "requeued").read_text() == "requeue 7\n"


@pytest.mark.slow
def test_slurms_processes_train_as_one(tmp_path: Path, toy_recipe: dict[str, Any]) -> None:
    single, cut = variant(toy_recipe, "single"), variant(toy_recipe, "cut")
    python = f'#!/bin/bash\nexec {sys.executable} "$@"\n'
    scontrol = "#!/bin/bash\necho 127.0.0.1\n"
    script = SLURM.read_text().replace("MASTER_PORT=29500", f"MASTER_PORT={free_ports(1)[0]}")
    result = submit(
        tmp_path / "bin", 2, str(write(cut)), "optim.updates=3", script=script, python=python, scontrol=scontrol
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert run(variant(toy_recipe, "single", optim__updates=3)) == 0
    losses = [[record["loss"] for record in metrics(recipe)] for recipe in (single, cut)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5) and len(losses[0]) == 3


def test_skypilot_rents_what_the_launch_file_asks_for() -> None:
    job = yaml.safe_load((CLUSTERS / "skypilot.yaml").read_text())
    [(_, gpus)] = [job["resources"]["accelerators"].split(":")]
    [command] = [line for line in job["run"].splitlines() if line.strip()]
    program, *arguments = shlex.split(command)
    assert program.endswith("/camelid") and program.startswith("~/camelid/") and "uv venv" in job["setup"]
    args = build_parser().parse_args(arguments)
    layout = read_launch_file(ROOT / args.launch)
    assert (layout.processes, layout.machines) == (int(gpus) * job["num_nodes"], job["num_nodes"])
    assert read_recipe(ROOT / args.recipe, args.overrides).model.path.startswith("models/")
