"""The question sets people ask for after a fine-tune, in their published shapes, are answered by the same command."""

import json
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.read import read_jsonl
from camelid.files.write import write_json, write_jsonl
from tests.eval.commands import model
from tests.fake_openai import FakeOpenAI

ALPACA_EVAL = {"dataset": "koala", "instruction": "Ask A", "output": "Theirs.", "generator": "text_davinci_003"}
MT_BENCH = {"question_id": 81, "category": "writing", "turns": ["Ask A", "Ask B"]}
ARENA_HARD = {"question_id": "f0", "category": "arena-hard-v0.1", "cluster": "x", "turns": [{"content": "Ask A"}]}
ARENA_HARD_2 = {"uid": "f1", "category": "hard_prompt", "subcategory": "coding", "prompt": "Ask A"}
IFEVAL = {"key": 1000, "prompt": "Ask A", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}


@pytest.mark.parametrize(
    "record", [ALPACA_EVAL, MT_BENCH, ARENA_HARD, ARENA_HARD_2, IFEVAL], ids=lambda one: str(next(iter(one)))
)
def test_published_questions_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: dict[str, Any]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    path = tmp_path / ("questions.json" if "instruction" in record else "questions.jsonl")
    if path.suffix == ".json":
        write_json(path, [record])
    else:
        write_jsonl(path, [record])
    with FakeOpenAI(lambda body: f"to {body['messages'][-1]['content']}") as server:
        command = ["eval", "answer", "--questions", str(path), "--output", str(tmp_path), "--quiet"]
        assert main([*command, *model(server), "--label", "m"]) == 0
    [(_, answer)] = read_jsonl(tmp_path / "answers" / "m.jsonl")
    turns = ["to Ask A", "to Ask B"] if record is MT_BENCH else ["to Ask A"]
    assert answer["choices"][0]["turns"] == turns
    own = next((record[name] for name in ("question_id", "uid", "key") if name in record), answer["question_id"])
    assert answer["question_id"] == str(own)
    assert "Theirs." not in json.dumps(answer)
