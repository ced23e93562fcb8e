"""How long threads spin before they sleep is told to OpenMP before it is loaded, by whatever begins a run."""

import os
import subprocess
import sys

import pytest

CALL = "import os, finetune; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("said", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_what_the_user_says_stays(said: dict[str, str], expected: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    result = subprocess.run([sys.executable, "-c", CALL], env=clean | said, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == expected


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="another OpenMP")
@pytest.mark.parametrize("module", ["finetune.train", "finetune.serve.served", "finetune.generate.local"])
def test_openmp_reads_it(module: str) -> None:
    """What libgomp says itself as it is loaded, whatever loads torch; of a run see test_sigterm_saves_and_leaves."""
    variables = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    command = [sys.executable, "-c", f"import {module}"]
    variables["OMP_DISPLAY_ENV"] = "verbose"
    result = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert "GOMP_SPINCOUNT = '1000'" in result.stderr
