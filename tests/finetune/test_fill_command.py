"""`camelid finetune fill`: tasks in, middles out, as human-eval-infilling's own tools read them."""

import gzip
import json
import os
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.errors import UserError
from eval.ask.answer import read_answers
from finetune.fill_command import _read
from finetune.generate.sampling import Sampling
from finetune.serve.one_answer import write_answer
from finetune.serve.served import open_served
from tests.finetune.serve.test_infill import (
    filling,  # noqa: F401  (a fixture)
)

HOLES = [("def f(x):\n", "\n    return x\n"), ("", ""), ("x " * 300, "y"), ("  a", "  b")]


def write_tasks(path: Path) -> Path:
    records = ({"task_id": f"t/{at}", "prompt": before, "suffix": behind} for at, (before, behind) in enumerate(HOLES))
    path.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode()))
    return path


def test_middles_are_the_servers(filling_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks, output = write_tasks(tmp_path / "tasks.jsonl.gz"), tmp_path / "samples.jsonl"
    command = ["finetune", "fill", str(filling_model), str(tasks), "--output", str(output), "--quiet"]
    assert main([*command, "--samples", "2", "--temperature", "1", "--max-tokens", "12"]) == 0
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["task_id"] for line in lines] == [f"t/{at}" for at in range(4) for _ in range(2)]
    served = open_served(filling_model)
    assert not isinstance(served.infill, UserError)
    sampling = Sampling(12, after=served.anchor)
    for at, (before, behind) in enumerate(HOLES):
        said = [line["completion"] for line in lines if line["task_id"] == f"t/{at}"]
        if at == 2:
            assert said == ["", ""]
            continue
        prompt = served.infill.prompt(before, behind)
        assert said == ["".join(write_answer(served, prompt, seed, sampling, "")) for seed in (0, 1)]
    assert "1 holes left empty" in capsys.readouterr().err
    answers = read_answers(output)
    assert [len(answer.turns) for answer in answers] == [2, 2, 2, 2]


def test_mistakes(lively_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = write_tasks(tmp_path / "tasks.jsonl.gz")
    command = ["finetune", "fill", str(lively_model), str(tasks), "--output", str(tmp_path / "out.jsonl"), "--quiet"]
    assert main(command) == 2
    assert "tokens '▁<PRE>'" in capsys.readouterr().err and not (tmp_path / "out.jsonl").exists()
    assert main([*command, "--samples", "2"]) == 2
    assert "give a --temperature" in capsys.readouterr().err
    (tmp_path / "bad.jsonl").write_text('{"task_id": "a", "prompt": "x"}\n')
    assert main([*command[:3], str(tmp_path / "bad.jsonl"), *command[4:]]) == 2
    assert "bad.jsonl:1: field 'suffix' must be text, found None" in capsys.readouterr().err


@pytest.mark.skipif("CAMELID_REAL_DATA" not in os.environ, reason="CAMELID_REAL_DATA is not set")
@pytest.mark.parametrize(("name", "count"), [("SingleLine", 1033), ("RandomSpan", 164)])
def test_published_tasks_are_read(name: str, count: int) -> None:
    from camelid.files.records import read_records

    light = "Light" if name == "RandomSpan" else ""
    path = Path(os.environ["CAMELID_REAL_DATA"]) / "code" / f"HumanEval-{name}Infilling{light}.jsonl.gz"
    holes = [_read(record, place) for place, record in read_records(path)]
    assert len(holes) == count and all(hole.prefix + hole.suffix for hole in holes)
