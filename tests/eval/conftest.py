"""The `eval` commands from a test."""

from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.files.write import write_jsonl
from tests.eval.commands import Eval

ROWS = 12


@pytest.fixture
def camelid_eval(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Eval:
    """Run a verb on a folder with 12 questions of two turns; returns (exit status, stdout, stderr)."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    path = tmp_path / "questions.jsonl"
    write_jsonl(path, ({"question_id": q, "category": "all", "turns": [f"{q}?", "And?"]} for q in range(ROWS)))

    def run(verb: str, *more: str) -> tuple[int, str, str]:
        status = main(["eval", verb, "--questions", str(path), "--output", str(tmp_path / "out"), "--quiet", *more])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run
