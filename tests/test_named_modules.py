"""What prose and docstrings name is there: modules, their members, files of the repository, imports in examples."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("camelid", "conversations", "selfinstruct", "corpus", "finetune", "eval")
CODE = sorted(path for room in (*ROOMS, "tests", "benchmarks") for path in (ROOT / room).rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FILE = re.compile(rf"(?<![\w./-])((?:{'|'.join(ROOMS)}|tests|benchmarks)/[\w/]+\.py)\b")
_MODULE = re.compile(rf"`((?:{'|'.join(ROOMS)})(?:\.(?!(?:jsonl?|md)[(`])\w+)+)[(`]")
_EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def prose(path: Path) -> str:
    """A page, or the docstrings and comments of a module."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, documented)]
    return "\n".join([*docstrings, *re.findall(r"#.*", text)])


def missing(text: str) -> Iterator[str]:
    """The files and the modules or members that a text names and that are not there."""
    yield from (name for name in _FILE.findall(text) if not (ROOT / name).is_file())
    yield from (name for name in _MODULE.findall(text) if not exists(name))


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something that a module's text defines."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ROOT.joinpath(*parts[:length])
        source = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
        if source.is_file():
            text = source.read_text(encoding="utf-8")
            return all(
                re.search(rf"^\s*(?:(?:async )?def |class )?{part}\b", text, re.MULTILINE) for part in parts[length:]
            )
    return False


@pytest.mark.parametrize("path", [*CODE, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_named_is_there(path: Path) -> None:
    assert list(missing(prose(path))) == []


def test_a_name_that_is_gone_is_found() -> None:
    assert list(missing("`camelid.jsonl.read_json` and finetune/update.py, `eval.results.Row`")) == [
        "finetune/update.py", "camelid.jsonl.read_json", "eval.results.Row",
    ]  # fmt: skip
    assert list(missing("`camelid.files.read.read_json` and finetune/engine/update.py, `eval.results`")) == []


def imported(text: str) -> Iterator[str]:
    """What the import lines in a text take from our packages."""
    for line in re.findall(rf"^(?:from|import) (?:{'|'.join(ROOMS)}|tests)\b.*", text, re.MULTILINE):
        for node in ast.parse(line).body:
            if isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_examples_import_what_is_there(path: Path) -> None:
    for example in _EXAMPLE.findall(path.read_text(encoding="utf-8")):
        assert [name for name in imported(example) if not exists(name)] == []


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_scripts_in_strings_import_what_is_there(path: Path) -> None:
    """Some tests and benchmarks start a process with a script that no type checker sees."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert [name for name in imported(node.value) if not exists(name)] == []
