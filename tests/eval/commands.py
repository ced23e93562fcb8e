"""The `eval` commands as a test calls them, and a server that answers and judges."""

from collections.abc import Callable
from pathlib import Path

from camelid.files.read import read_json
from eval.judging.modes.table import MODES
from eval.results import Results
from tests.fake_openai import FakeOpenAI

ASKED = [name for name, mode in MODES.items() if not mode.executed]
"""The modes in which a model judges."""
Eval = Callable[..., tuple[int, str, str]]
"""A verb and its options to (exit status, stdout, stderr)."""


def model(server: FakeOpenAI, *more: str, name: str = "fake") -> tuple[str, ...]:
    return ("--model", name, "--base-url", server.url, "--price", "1,2", *more)


def report(folder: Path) -> Results:
    return Results.from_json(read_json(folder / "out" / "results.json"))


def two_answers(camelid_eval: Eval, server: FakeOpenAI) -> None:
    for label in ("a", "b"):
        status, out, _ = camelid_eval("answer", *model(server, name=label))
        assert status == 0 and f"12 of 12 questions answered by {label}" in out
