"""The options that every command has which asks a model: they reach the server, and tell journals apart."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from camelid.app.cli import main
from camelid.files.read import read_json
from camelid.files.write import write_jsonl
from camelid.message import Message
from camelid.models.llm import Request
from camelid.models.request_options import RequestOptions
from tests.fake_openai import FakeOpenAI
from tests.selfinstruct.teacher import answer

OPTIONS = ["--temperature", "0.25", "--max-tokens", "777", "--reasoning-effort", "low"]
REQUEST = Request((Message("user", "?"),), temperature=0.7, max_tokens=9, extra={"logprobs": True})


def run(*command: str) -> tuple[int, str]:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
        return main(command), said.getvalue()


def test_what_is_not_set_stays() -> None:
    assert RequestOptions().apply(REQUEST) is REQUEST
    asked = RequestOptions(temperature=0.0).apply(REQUEST)
    assert (asked.temperature, asked.max_tokens, asked.extra) == (0.0, 9, {"logprobs": True})
    asked = RequestOptions(max_tokens=5, reasoning_effort="high").apply(REQUEST)
    assert (asked.temperature, asked.max_tokens) == (0.7, 5)
    assert asked.extra == {"logprobs": True, "reasoning_effort": "high"}


@pytest.mark.parametrize("verb", ["generate", "answer", "judge"])
def test_they_reach_the_server(verb: str, tmp_path: Path) -> None:
    questions, folder = tmp_path / "q.jsonl", tmp_path / "eval"
    write_jsonl(questions, [{"question_id": 1, "category": "all", "turns": ["Why?"]}])
    write_jsonl(
        folder / "answers" / "m.jsonl",
        [{"question_id": 1, "model_id": "m", "choices": [{"index": 0, "turns": ["Because."]}]}],
    )
    on_questions = ["--questions", str(questions), "--output", str(folder)]
    command = {
        "generate": ["selfinstruct", "generate", "--output", str(tmp_path / "r.jsonl"), "--count", "5"],
        "answer": ["eval", "answer", *on_questions, "--label", "other"],
        "judge": ["eval", "judge", *on_questions, "--audit", "0"],
    }[verb]
    say = {"generate": answer, "answer": lambda _: "So.", "judge": lambda _: "Rating: [[5]]"}[verb]
    with FakeOpenAI(say, json_schema=True) as server:
        command += ["--quiet", "--model", "fake", "--base-url", server.url]
        assert run(*command)[0] == 0 and run(*command, *OPTIONS)[0] == 0
        first, *_, last = server.requests
        assert first["messages"] == last["messages"]  # another request all the same, which no journal answers
    assert "reasoning_effort" not in first
    assert (last["temperature"], last["max_tokens"], last["reasoning_effort"]) == (0.25, 777, "low")
    if verb == "generate":
        asked = read_json(tmp_path / "r.ledger.json")["asked"]
        assert (asked["temperature"], asked["max_tokens"], asked["reasoning_effort"]) == (0.25, 777, "low")


@pytest.mark.parametrize("wrong", [("--temperature", "-1"), ("--temperature", "nan"), ("--max-tokens", "0")])
def test_values_that_are_none_are_refused(wrong: tuple[str, str], tmp_path: Path) -> None:
    status, said = run("selfinstruct", "generate", "--output", str(tmp_path / "r.jsonl"), "--count", "5", *wrong)
    assert status == 2 and f"{wrong[0]} must be at least" in said
