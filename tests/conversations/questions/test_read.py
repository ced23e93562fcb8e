"""Question files of every kind are kept out of training data, and read as `eval` reads them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.errors import UserError
from conversations.questions.read import read_question_texts
from eval.ask.questions import Question, read_questions

CASES = Path(__file__).parents[1] / "cases"
ASKED, ANSWERED = {"role": "user", "content": "How tall is Everest?"}, {"role": "assistant", "content": "8849 m"}

# Records that ask "How tall is Everest?", as their sets publish them.
KINDS: dict[str, dict[str, Any]] = {
    "MT-bench": {"question_id": 81, "category": "writing", "turns": ["How tall is Everest?"]},
    "Vicuna": {"question_id": 1, "text": "How tall is Everest?", "category": "generic"},
    "plain": {"question_id": 1, "question": "How tall is Everest?"},
    "Arena-Hard v2": {"uid": "1", "category": "hard_prompt", "prompt": "How tall is Everest?"},
    "AlpacaEval": {"dataset": "helpful_base", "instruction": "How tall is Everest?", "output": "x", "generator": "y"},
    "Self-Instruct": {"instruction": "How tall", "instances": [{"input": "is Everest?", "output": "8849 m"}]},
    "conversation": {"messages": [ASKED, ANSWERED]},
    "Arena-Hard v0.1": {"question_id": "1", "turns": [{"content": "How tall is Everest?"}]},
    "null input": {"instruction": "How tall is Everest?", "input": None, "output": "8849 m"},
    "Prometheus": {"orig_instruction": "How tall is Everest?", "orig_response": "x", "instruction": "Grade this."},
    "arena": {"conversation_a": [ASKED, ANSWERED], "conversation_b": [ASKED, ANSWERED], "winner": "tie"},
    "WildBench": {"session_id": "1", "conversation_input": [ASKED]},
    "ShareGPT": {"conversations": [{"from": "human", "value": "How tall is Everest?"}, {"from": "gpt", "value": "x"}]},
    "OpenAI parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "How tall is Everest?"}]}]},
    "system": {"messages": [{"role": "system", "content": "Be brief."}, ASKED]},
}


def write(folder: Path, record: object) -> Path:
    (folder / "questions.jsonl").write_text(json.dumps(record))
    return folder / "questions.jsonl"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_kept_out(tmp_path: Path, kind: str) -> None:
    questions = write(tmp_path, KINDS[kind])
    chats = [[{"role": "user", "content": f"Please: {text}"}, ANSWERED] for text in ("how tall IS everest", "and K2?")]
    source, output = tmp_path / "chats.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    command = ["conversations", "convert", str(source), "--output", str(output), "--quiet"]
    assert main([*command, "--decontaminate", str(questions)]) == 0
    assert [json.loads(line)["messages"][0]["content"] for line in output.read_text().splitlines()] == [
        "Please: and K2?"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_eval_reads_the_same(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, KINDS[kind])
    asked = [turn for question in read_questions(path) for turn in question.turns]
    assert read_question_texts(path) == asked
    assert " ".join(asked[0].split()) == "How tall is Everest?"


def test_an_inspect_log_is_kept_out_as_it_is_asked(tmp_path: Path) -> None:
    sample = {"id": 1, "epoch": 1, "input": [{"role": "system", "content": "Be brief."}, ASKED], "target": "8849 m"}
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"eval": {"task": "peaks", "model": "m"}, "samples": [sample]}))
    assert read_question_texts(path) == ["How tall is Everest?"]
    assert read_questions(path) == [Question("1", "peaks", ("How tall is Everest?",), ("8849 m",), "Be brief.")]


def test_records_wrapped_in_one_object_are_asked_as_they_are_kept_out(tmp_path: Path) -> None:
    path = tmp_path / "questions.json"
    path.write_text(json.dumps({"data": [{"id": 1, "text": "A?"}, {"id": 2, "text": "B?"}]}))
    assert read_question_texts(path) == ["A?", "B?"]
    assert [question.turns for question in read_questions(path)] == [("A?",), ("B?",)]


def test_roles_in_turns_are_honoured_by_both(tmp_path: Path) -> None:
    told = {"role": "system", "content": "Be brief."}
    path = write(tmp_path, {"id": 1, "turns": [told, ASKED, ANSWERED, {"role": "user", "content": "And K2?"}]})
    assert read_question_texts(path) == ["How tall is Everest?", "And K2?"]
    asked = Question("1", "all", ("How tall is Everest?", "And K2?"), (), "Be brief.")
    assert read_questions(path) == [asked]


@pytest.mark.parametrize("beside", [{"reference": 42}, {"system": [{"type": "text", "text": "Be brief."}]}])
def test_what_only_those_who_ask_need_is_checked_by_them(tmp_path: Path, beside: dict[str, Any]) -> None:
    path = write(tmp_path, {"question": "1 + 41?", **beside})
    assert read_question_texts(path) == ["1 + 41?"]
    with pytest.raises(UserError, match=rf"questions\.jsonl:1: field '{next(iter(beside))}' must be"):
        read_questions(path)


def test_a_vote_that_does_not_say_what_was_asked_keeps_nothing_out(tmp_path: Path) -> None:
    vote = {"question_id": 1, "model_a": "x", "model_b": "y", "winner": "model_a"}
    with pytest.raises(UserError, match=r"questions\.jsonl:1: no question found"):
        read_question_texts(write(tmp_path, vote))
    assert read_questions(write(tmp_path, vote))[0].turns == ("(The file does not say what was asked.)",)
    assert read_question_texts(write(tmp_path, {**vote, "prompt": "Why?"})) == ["Why?"]
    assert read_questions(write(tmp_path, {**vote, "prompt": "Why?"}))[0].turns == ("Why?",)


def test_a_plain_question_file(tmp_path: Path) -> None:
    assert read_question_texts(CASES / "question_field.jsonl") == ["How tall is Everest?"]


def test_every_turn_counts_and_only_the_users(tmp_path: Path) -> None:
    later = {"role": "user", "content": "And K2?"}
    assert read_question_texts(write(tmp_path, {"turns": ["A?", "B?"]})) == ["A?", "B?"]
    assert read_question_texts(write(tmp_path, {"messages": [ASKED, ANSWERED, later]})) == [
        "How tall is Everest?", "And K2?",
    ]  # fmt: skip
    assert read_question_texts(write(tmp_path, {"conversation_input": [ASKED, ANSWERED, later]}))[1:] == ["And K2?"]


@pytest.mark.parametrize("read", [read_question_texts, read_questions])
@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"turns": "How?"}, ":1: field 'turns' must be a list of strings, found 'How"),
        ({"turns": ["How?", None]}, r":1: field 'turns\[1\]' must be text, found None"),
        ({"turns": []}, ":1: field 'turns' must not be empty"),
        ({"conversation_input": [ANSWERED]}, ":1: field 'conversation_input' holds nothing that a user asked"),
        ({"conversation_a": [{"role": "user"}]}, r":1: field 'conversation_a\[0\]' must be text, found {'role"),
        ({"text": None, "id": 1}, ":1: no question found; expected a field 'turns', 'text', 'question'"),
        ({"instruction": "How?", "input": 3}, ":1: field 'input' must be text, found 3"),
        ({"instruction": "How?", "instances": ["x"]}, ":1: field 'instances' must be a list of objects"),
    ],
)
def test_errors_name_file_line_and_field(
    tmp_path: Path, read: Callable[[Path], object], record: object, message: str
) -> None:
    with pytest.raises(UserError, match=r"questions\.jsonl" + message):
        read(write(tmp_path, record))


def test_a_file_without_questions_keeps_nothing_out_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text("")
    with pytest.raises(UserError, match=r"questions\.jsonl: no questions in it"):
        read_question_texts(tmp_path / "questions.jsonl")
