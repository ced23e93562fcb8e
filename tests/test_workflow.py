"""Hosted continuous integration runs what `.ci/run` runs, with every Python that pyproject.toml names."""

import os
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_the_workflow_runs_what_ci_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML 1.1 reads the key `on` as true
    assert workflow["permissions"] == {"contents": "read"}

    [job] = workflow["jobs"].values()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tried = [line.removeprefix("Programming Language :: Python :: ") for line in project["classifiers"]]
    assert job["strategy"]["matrix"] == {"python": tried}
    [python] = [step["with"] for step in job["steps"] if step.get("uses", "").startswith("actions/setup-python@")]
    assert python["python-version"] == "${{ matrix.python }}" and job["env"]["PYTHON"] == "python${{ matrix.python }}"
    assert all((ROOT / name).is_file() for name in python["cache-dependency-path"].split())
    assert job["steps"][-1] == {"run": ".ci/run"} and os.access(ROOT / ".ci" / "run", os.X_OK)
