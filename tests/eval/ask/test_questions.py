"""Question files: ours, the published ones, and broken ones."""

import os
from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.files.write import write_jsonl
from eval.ask.questions import Question, read_questions

OURS = Path(__file__).parents[3] / "eval" / "data" / "demo_questions.jsonl"
REAL = Path(os.environ.get("CAMELID_REAL_DATA", "/nowhere"))
needs_real = pytest.mark.skipif("CAMELID_REAL_DATA" not in os.environ, reason="CAMELID_REAL_DATA is not set")


def test_ours() -> None:
    questions = read_questions(OURS)
    assert len(questions) == 80 and all(len(question.references) == 1 for question in questions)
    assert len({question.turns for question in questions}) == 80


@needs_real
def test_mt_bench_with_references() -> None:
    questions = read_questions(REAL / "mt_bench" / "question.jsonl", REAL / "mt_bench" / "reference_gpt-4.jsonl")
    assert len(questions) == 80 and all(len(question.turns) == 2 for question in questions)
    need = [question for question in questions if question.category in ("math", "reasoning", "coding")]
    assert len(need) == 30 and all(len(question.references) == 2 for question in need)
    assert "second place" in next(question for question in questions if question.id == "101").references[0]


@needs_real
def test_vicuna_80_and_self_instruct_252() -> None:
    assert len(read_questions(REAL / "vicuna80" / "question.jsonl")) == 80
    tasks = read_questions(REAL / "selfinstruct" / "user_oriented_252.jsonl")
    assert len(tasks) == 252 and all(len(task.references) == 1 for task in tasks)


def test_alpaca_eval_shape(tmp_path: Path) -> None:
    path = tmp_path / "q.json"
    path.write_text('[{"instruction": "Say hi", "output": "davinci said", "dataset": "koala", "generator": "x"}]')
    assert read_questions(path) == [Question("q.json[0]", "koala", ("Say hi",))]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"prompt": "Why?"}, Question("1", "all", ("Why?",))),
        ({"question": "1+1?", "category": "math", "reference": "2"}, Question("1", "math", ("1+1?",), ("2",))),
        ({"instruction": "Add.", "input": "1, 2", "output": "3"}, Question("1", "all", ("Add.\n\n1, 2",), ("3",))),
        (
            {"messages": [{"role": who, "content": who[0]} for who in ("user", "assistant")]},
            Question("1", "all", ("u",), ("a",)),
        ),
        ({"messages": [{"role": "user", "content": "u"}]}, Question("1", "all", ("u",))),
    ],
)
def test_plain_records(tmp_path: Path, record: dict[str, object], expected: Question) -> None:
    write_jsonl(tmp_path / "q.jsonl", [{"id": 1, **record}])
    assert read_questions(tmp_path / "q.jsonl") == [expected]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"turns": []}', "'turns' must not be empty"),
        ('{"turns": "x"}', "field 'turns' must be a list of strings, found 'x'"),
        ('{"turns": ["a", "b"], "reference": ["c"]}', "'reference' as long as it"),
        ('{"query": "x"}', "no question found"),
        ('{"question_id": 1, "turns": ["a"]}\n{"question_id": 1, "turns": ["b"]}', "question id '1' is there twice"),
        ('{"messages": [{"role": "system", "content": "x"}]}', "a question starts with the user"),
        ("", "no questions in it"),
    ],
)
def test_mistakes(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(line)
    with pytest.raises(UserError, match=message):
        read_questions(path)
