"""The pages without findings of axe, the checker of WCAG's rules, on a phone and on a desk, by day and by night."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from eval.report.page import render_page
from tests.eval.run_folders import write_comparison
from tests.eval.synthetic import evaluation

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("mode", "models", "judges"), [("single", 3, 2), ("alpaca", 12, 1), ("pairwise", 4, 1)])
def test_axe_finds_nothing(
    open_page: Callable[..., Any], tmp_path: Path, width: int, scheme: str, mode: str, models: int, judges: int
) -> None:
    made = evaluation(mode, models=models, judges=("gpt-4-0613", "claude-v1")[:judges])
    path = tmp_path / "report.html"
    path.write_text(render_page(made.results, made.questions, made.answers, made.judgments), encoding="utf-8")
    assert findings(open_page, path, width, scheme) == []


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("mode", ["single", "alpaca"])
def test_axe_finds_nothing_in_two_runs(open_page: Callable[..., Any], tmp_path: Path, width: int, mode: str) -> None:
    path = write_comparison(tmp_path, evaluation(mode))
    assert findings(open_page, path, width, "light") == []


def findings(open_page: Callable[..., Any], path: Path, width: int, scheme: str) -> list[tuple[str, str]]:
    """The rules that a page breaks, each with the first place."""
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    options = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "bypass_csp": True}
    page = open_page(path.as_uri(), path.as_uri(), **options)
    page.evaluate("document.querySelectorAll('details').forEach((box) => (box.open = true))")
    page.evaluate(files(package).joinpath("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found]
