"""Votes from the chat page are human judgments to `camelid eval report`."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from camelid.app.cli import main
from eval.ask.questions import read_questions
from eval.folder import read_all_answers, read_all_judgments
from finetune.serve.bodies import VoteBody
from finetune.serve.votes import Votes

Winner = Literal["first", "second", "tie"]


def vote(models: tuple[str, str], winner: Winner, *said: str) -> VoteBody:
    roles = ("user", "assistant", "user")
    messages = [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
    body = {"messages": messages, "models": models, "answers": ("left [[B]]", "right"), "winner": winner}
    return VoteBody.model_validate_json(json.dumps(body))


def test_votes_make_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    votes = Votes(tmp_path / "votes")
    ours, theirs = "runs/a b/tuned", "base"
    votes.add(vote((ours, theirs), "first", "Why?"))
    votes.add(vote((theirs, ours), "second", "Why?"))
    votes.add(vote((theirs, ours), "tie", "Hello", "Hi.", "Why?"))
    votes.add(vote((ours, theirs), "second", "How?"))
    questions = read_questions(votes.folder / "questions.jsonl")
    assert [question.turns[0] for question in questions[:2]] == ["Why?", "Why?"]
    assert questions[2].turns == ("USER: Hello\n\nASSISTANT: Hi.\n\nUSER: Why?",)
    judgments = read_all_judgments(votes.folder, questions, read_all_answers(votes.folder), None, [])
    assert [(one.models, one.scores, one.judge) for one in judgments] == [
        ((ours, theirs), (1.0, 0.0), "human"),
        ((theirs, ours), (0.0, 1.0), "human"),
        ((theirs, ours), (0.5, 0.5), "human"),
        ((ours, theirs), (0.0, 1.0), "human"),
    ]
    second = [answer for answer in read_all_answers(votes.folder) if answer.question == questions[1].id]
    assert {answer.model: answer.turns for answer in second} == {theirs: ("left [[B]]",), ours: ("right",)}
    arguments = ["eval", "report", "--questions", str(votes.folder / "questions.jsonl"), "--output", str(votes.folder)]
    assert main(arguments) == 0, capsys.readouterr().err
    results: dict[str, Any] = json.loads((votes.folder / "results.json").read_text())
    assert results["complete"] and results["judges"] == ["human"]
    rows = {row["label"]: row for row in results["boards"][0]["rows"]}
    assert rows[ours]["score"]["mean"] == pytest.approx(62.5)  # two wins and a half of four
