"""Every package that the code imports is declared in pyproject.toml, and where it may be missing, as an extra."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("camelid", "conversations", "selfinstruct", "corpus", "finetune", "eval")
UNDECLARED = {"vllm"}  # has its own torch; `--engine vllm` says how to get it
# What is not installed here has no distribution to look up: the import's name -> the package's.
NAMES = {"flash_attn": "flash-attn", "bitsandbytes": "bitsandbytes", "deepspeed": "deepspeed", "torchao": "torchao"}


def test_every_import_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [items for name, items in project["optional-dependencies"].items() if name != "dev"]
    declared = {normal(re.split(r"[\[<>=]", line)[0]) for items in (project["dependencies"], *extras) for line in items}
    known = packages_distributions()
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for name in imported(path)
        if name not in (*ROOMS, *UNDECLARED)
        and not {normal(package) for package in known.get(name, [NAMES.get(name, name)])} & declared
    }
    assert not missing


def imported(path: Path) -> set[str]:
    """The top-level names of other packages that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names


def normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
