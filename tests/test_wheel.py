"""The wheel works far from the checkout, recipes, data files and types included."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
# What a stranger's code imports, one name of each room.
OUTSIDE = """
from camelid.models.llm import Request
from conversations.tokens.template import Template
from eval.results import Estimate
from finetune.recipe import Recipe
from selfinstruct.seeds import read_seeds

def outside(request: Request, template: Template, estimate: Estimate, recipe: Recipe) -> None:
    reveal_type((request.seed, template.name, estimate.mean, recipe.run, read_seeds()))
"""
TYPES = "tuple[int | None, str, float, finetune.recipe.RunSection, list[selfinstruct.seeds.Task]]"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([*PIP, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    [built] = folder.glob("camelid-*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path) -> dict[str, str]:
    """Variables with which Python finds the installed wheel before the checkout."""
    site = wheel.parent / "site"
    subprocess.run([*PIP, "install", "--quiet", "--no-deps", "--target", site, wheel], check=True)
    return {**os.environ, "PYTHONPATH": str(site)}


def test_the_wheel_is_whole(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    rooms = ("camelid/", "conversations/", "corpus/", "eval/", "finetune/", "recipes/", "selfinstruct/")
    assert {name for name in tracked if name.startswith(rooms)} <= names
    assert not any(name.startswith(("tests/", "benchmarks/", "docs/")) for name in names)


def test_the_demo_runs_from_the_wheel(environment: dict[str, str], tmp_path: Path) -> None:
    code = "import sys; from camelid.app.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "demo", "--output", "run", "--records", "60", "--updates", "8"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "run" / "eval" / "report.html").is_file()
    assert str(ROOT) not in result.stdout


def test_a_type_checker_outside_sees_the_types(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text(OUTSIDE)
    command = [sys.executable, "-m", "mypy", "--strict", "outside.py"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert f'Revealed type is "{TYPES}"' in result.stdout
