"""The Dockerfile, as far as a machine without Docker can tell: it fits the repository, and its lines do their work."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from camelid import __version__

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
KEYWORDS = {"FROM", "ARG", "RUN", "ENV", "WORKDIR", "COPY", "USER", "ENTRYPOINT"}  # all that this file understands
BEFORE_TORCH = {"pyproject.toml", "constraints.txt", "camelid/__init__.py"}  # a change of these may download it again


def instructions() -> list[tuple[str, str]]:
    """Keyword and rest of each instruction, without comments, continued lines joined."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if line and not line.startswith("#"))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.replace("\\\n", "").splitlines()]


def rest(keyword: str) -> list[str]:
    return [text for found, text in instructions() if found == keyword]


def tracked() -> list[str]:
    return subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()


def context() -> set[str]:
    """The tracked files that Docker sees: of .dockerignore's rules, the last that names a file or its folder counts."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    seen = set()
    for name in tracked():
        paths = [name, *map(str, Path(name).parents)][:-1]
        met = [rule for rule in rules if any(fnmatch(path, rule.removeprefix("!")) for path in paths)]
        if not met or met[-1].startswith("!"):
            seen.add(name)
    return seen


def copies(text: str) -> Iterator[tuple[str, Path]]:
    """Each file that a COPY brings, and where to. A source is the whole context, or one file."""
    *sources, target = text.split()
    for source in sources:
        found = context() if source == "." else context() & {source}
        assert found, f"COPY {source}: no such file, or .dockerignore hides it"
        yield from ((name, Path(target, name if source == "." else Path(name).name)) for name in found)


def test_it_is_made_of_what_is_here() -> None:
    assert {keyword for keyword, _ in instructions()} == KEYWORDS
    [python] = re.findall(r"python:([\d.]+)-slim", " ".join(rest("FROM")))
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    assert json.loads(rest("ENTRYPOINT")[0])[0] in PROJECT["scripts"]
    assert any(line.startswith("useradd ") and line.split()[-1] == rest("USER")[-1] for line in rest("RUN"))

    arguments = dict(text.split("=", 1) for text in rest("ARG"))
    assert set(arguments) == set(re.findall(r"\$(\w+)", " ".join(rest("RUN"))))
    assert set(arguments["EXTRAS"].split(",")) <= set(PROJECT["optional-dependencies"])
    pages = [ROOT / name for name in ("Dockerfile", "README.md", *map(str, (ROOT / "docs").glob("*.md")))]
    assert {name for page in pages for name in re.findall(r"--build-arg (\w+)=", page.read_text())} <= set(arguments)


def test_docker_sees_what_the_wheel_is_made_of_and_no_more() -> None:
    rooms = [pattern.rstrip("*") for pattern in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
    files = {"LICENSE", "README.md", "constraints.txt", "pyproject.toml"}
    assert context() == {name for name in tracked() if name in files or name.split("/")[0] in rooms}


def test_no_change_of_the_code_downloads_torch_again() -> None:
    brought = set[str]()
    for keyword, text in instructions():
        if keyword == "COPY":
            brought |= {name for name, _ in copies(text)}
        elif "pip install" in text:
            assert ("--no-deps" in text) != ("-c constraints.txt" in text)
            assert "--no-deps" in text or brought == BEFORE_TORCH
    assert brought == context()


@pytest.mark.slow
def test_its_lines_install_a_camelid_that_is_ready(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "python"], check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "OPENAI", "HF_"))}
    variables = {**kept, "PATH": f"{tmp_path / 'python' / 'bin'}:{kept['PATH']}", "HOME": str(tmp_path / "work")}
    here = tmp_path
    for keyword, text in instructions():
        if keyword == "ARG":
            variables.update([text.split("=", 1)])
        elif keyword == "WORKDIR":
            here = tmp_path / text.lstrip("/")
            here.mkdir(parents=True, exist_ok=True)
        elif keyword == "COPY":
            for name, target in copies(text):
                (here / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, here / target)
        elif keyword == "RUN" and not text.startswith("useradd"):
            line = text.replace('--extra-index-url "$TORCH_INDEX"', "")  # pip's own settings say where torch is
            subprocess.run(["sh", "-c", line], cwd=here, env=variables, check=True)

    camelid = json.loads(rest("ENTRYPOINT")[0])
    [torch] = re.findall(r"^torch==.+$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    found = [f"extra {name}: found" for name in variables["EXTRAS"].split(",")]
    for command, expected in (("--version", [__version__]), ("doctor", [torch.replace("==", " "), *found])):
        words = [*camelid, command]
        result = subprocess.run(words, cwd=here, env=variables, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        assert all(text in result.stdout for text in expected), result.stdout
