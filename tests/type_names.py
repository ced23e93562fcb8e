"""Lists the names of types that mean two things; exit status 1 if there are any. `make check` runs it.

A name means two things if two modules define a class or a type alias of that name (a leading underscore makes no
difference), or if one module defines it and another imports something of that name from a package that is not ours.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("camelid", "conversations", "selfinstruct", "corpus", "finetune", "eval")


def main() -> int:
    """Print each such name with where it comes from."""
    ours: dict[str, set[str]] = defaultdict(set)
    theirs: dict[str, set[str]] = defaultdict(set)
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        place = str(path.relative_to(ROOT))
        for name in defined(tree):
            ours[name].add(place)
        for name, package in imported(tree):
            theirs[name].add(package)
    double = {name: ours[name] | theirs[name] for name in sorted(ours) if len(ours[name] | theirs[name]) > 1}
    for name, places in double.items():
        print(f"{name}: {', '.join(sorted(places))}")
    return 1 if double else 0


def defined(tree: ast.Module) -> Iterator[str]:
    """The classes and type aliases of a module: names like `CamelCase` of more than one letter."""
    for node in tree.body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.ClassDef):
            targets = [ast.Name(node.name)]
        elif isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        names = [target.id.lstrip("_") for target in targets if isinstance(target, ast.Name)]
        yield from filter(is_type_name, names)


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The names like types that a module imports from elsewhere, with their package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] not in ROOMS:
            for alias in node.names:
                if is_type_name(alias.asname or alias.name):
                    yield alias.asname or alias.name, node.module


def is_type_name(name: str) -> bool:
    """Whether it is written as a type's name is."""
    return len(name) > 1 and name[0].isupper() and not name.isupper() and "_" not in name


if __name__ == "__main__":
    sys.exit(main())
