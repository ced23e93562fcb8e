"""The wheel works far from the checkout, recipes and data files included."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_is_whole(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True)
    [wheel] = tmp_path.glob("camelid-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    rooms = ("camelid/", "conversations/", "eval/", "finetune/", "recipes/", "selfinstruct/")
    assert {name for name in tracked if name.startswith(rooms)} <= names
    assert not any(name.startswith(("tests/", "benchmarks/", "docs/")) for name in names)

    site, away = tmp_path / "site", tmp_path / "away"
    away.mkdir()
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--target", site, wheel], check=True)
    code = "import sys; from camelid.app.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "demo", "--output", "run", "--records", "60", "--updates", "8"]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    result = subprocess.run(command, cwd=away, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (away / "run" / "eval" / "report.html").is_file()
    assert str(ROOT) not in result.stdout
