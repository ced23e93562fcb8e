"""Lists functions with more than 8 parameters; exit status 1 if there are any. `make check` runs it.

A function that takes more wants a value made of some of them: a section of the recipe, a frozen dataclass. `self` and
`cls` don't count; `*args` and `**options` count as one each, for who calls it must know what goes in.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("camelid", "conversations", "selfinstruct", "corpus", "finetune", "eval")
MOST = 8


def main() -> int:
    """Print each such function with its place."""
    found = 0
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for function, count in long_signatures(ast.parse(path.read_text(encoding="utf-8"))):
            print(
                f"{path.relative_to(ROOT)}:{function.lineno}: {function.name} takes {count} parameters, at most {MOST}"
            )
            found += 1
    return 1 if found else 0


def long_signatures(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """The functions and methods of a module, however deep, that take too many; with how many."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
            count = sum(argument.arg not in ("self", "cls") for argument in named)
            count += (given.vararg is not None) + (given.kwarg is not None)
            if count > MOST:
                yield node, count


if __name__ == "__main__":
    sys.exit(main())
