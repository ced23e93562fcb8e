"""Grades of a judge: DEITA's formulas worked out apart, the bill, and a run that is cut off and goes on."""

import hashlib
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from camelid.app.cli import main
from camelid.files.read import read_json, read_jsonl
from camelid.models.offline.tasks import FAMILIES
from tests.fake_openai import FakeOpenAI

TOKENS = ["1", "2", "3", "4", "5", "6", " 4", "The", "\n", "7"]
RECORDS = 100


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    """100 conversations of one to three exchanges."""
    rng = Random(0)
    path = tmp_path / "chats.jsonl"
    with path.open("w") as file:
        for number in range(RECORDS):
            turns = []
            for turn in range(rng.randint(1, 3)):
                turns.append({"role": "user", "content": f"question {number}.{turn}, of {{answer}}?"})
                turns.append({"role": "assistant", "content": f"answer {number}.{turn}"})
            file.write(json.dumps({"id": f"c{number}", "messages": turns, "meta": {}}) + "\n")
    return path


def first_token(body: dict[str, Any]) -> dict[str, float]:
    """The judge's log-probabilities: those of 8 to 10 tokens, of which grades have most of the mass."""
    text = body["messages"][-1]["content"]
    rng = np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest()[:8], 16))
    logits = rng.normal(size=len(TOKENS)) + np.array([2.0] * 7 + [-2.0] * 3)
    chances = np.exp(logits) / np.exp(logits).sum()
    return dict(zip(TOKENS, np.log(chances).tolist(), strict=True))


def respond(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    logprobs = first_token(body)
    top = max(logprobs, key=logprobs.__getitem__)
    rivals = [{"token": token, "logprob": value} for token, value in logprobs.items()]
    content = [{"token": top, "logprob": logprobs[top], "top_logprobs": rivals}]
    choice = {"index": 0, "message": {"role": "assistant", "content": top}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
    reply = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"], "usage": usage}
    return 200, {}, json.dumps({**reply, "choices": [{**choice, "logprobs": {"content": content}}]}).encode()


def by_the_paper(bodies: list[dict[str, Any]], question: str, answer: str, part: str) -> float:
    """A softmax over the six grades' logits, times the grades (Liu et al. 2024; deita's Scorer)."""
    [body] = [
        body
        for body in bodies
        if question in (text := body["messages"][-1]["content"]) and ("hard" in text) == (part == "complexity")
    ]
    assert (answer in body["messages"][-1]["content"]) == (part == "quality")
    found = first_token(body)
    logits = np.array([found[str(grade)] for grade in range(1, 7)])
    logits[3] = np.logaddexp(found["4"], found[" 4"])
    weights = np.exp(logits - logits.max())
    return float((weights / weights.sum()) @ np.arange(1, 7))


def test_deita_is_the_papers_on_100_records(chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "scored.jsonl"
    with FakeOpenAI(respond=respond) as server:
        command = ["conversations", "score", str(chats), "--output", str(output), "--quiet", "--model", "judge"]
        command += ["--base-url", server.url, "--price", "1,2", "--scores", "complexity", "quality", "deita"]
        assert main(command) == 0
        bodies = list(server.requests)
    records = [record for _, record in read_jsonl(output)]
    assert len(records) == RECORDS and len(bodies) == 2 * sum(len(one["messages"]) // 2 for one in records)
    for record in records:
        texts = [message["content"] for message in record["messages"]]
        exchanges = list(zip(texts[::2], texts[1::2], strict=True))
        hard = [by_the_paper(bodies, *exchange, "complexity") for exchange in exchanges]
        good = [by_the_paper(bodies, *exchange, "quality") for exchange in exchanges]
        truth = {"complexity": np.mean(hard), "quality": np.mean(good), "deita": np.dot(hard, good)}
        assert record["meta"]["scores"] == pytest.approx(truth, rel=1e-5)
    [spent] = read_json(tmp_path / "scored.ledger.json")["spent"]
    assert spent["cost_usd"] == pytest.approx(len(bodies) * (100 * 1 + 1 * 2) / 1e6)


def test_a_run_that_is_cut_off_goes_on_and_ends_the_same(
    chats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = [tmp_path / "cut" / "scored.jsonl", tmp_path / "whole" / "scored.jsonl"]
    with FakeOpenAI(respond=respond) as server:
        command = ["conversations", "score", str(chats), "--quiet", "--model", "judge", "--base-url", server.url]
        command += ["--price", "1,2", "--scores", "quality", "length"]
        assert main([*command, "--output", str(outputs[0]), "--max-cost", "0.005"]) == 1
        assert "stopped, no output written" in capsys.readouterr().err and not outputs[0].exists()
        before = len(server.requests)
        assert 10 < before < 60
        assert main([*command, "--output", str(outputs[0])]) == 0
        said = capsys.readouterr().out
        asked = [body["messages"][-1]["content"] for body in server.requests]
        assert len(asked) == len(set(asked)) and f"{before} answered from the journal" in said
        assert main([*command, "--output", str(outputs[1])]) == 0
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


@pytest.mark.parametrize(
    ("said", "grade"),
    [("5", 5.0), ("**4**", 4.0), ("4.5 out of 6", None), ("Quality: 3.", 3.0), ("7", None), ("between 2 and 5", None),
     ("very good", None), ("16", None)],
)  # fmt: skip
def test_without_probabilities_the_number_counts(
    tmp_path: Path, said: str, grade: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reply from which no one grade can be told is counted, and its conversation has no such score."""
    path, output = tmp_path / "one.jsonl", tmp_path / "out.jsonl"
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    path.write_text(json.dumps({"id": "a", "messages": turns, "meta": {}}))
    with FakeOpenAI(lambda body: said) as server:
        command = ["conversations", "score", str(path), "--output", str(output), "--quiet", "--model", "judge"]
        assert main([*command, "--base-url", server.url, "--scores", "quality"]) == 0
    [(_, record)] = read_jsonl(output)
    assert record["meta"]["scores"] == ({} if grade is None else {"quality": grade})
    out = capsys.readouterr().out
    assert ("no grade in the reply" in out) == (grade is None)


def test_the_embedded_model_grades_its_own_tasks(tmp_path: Path) -> None:
    """A right answer and a wrong one."""
    instruction, given, truth = FAMILIES[next(iter(FAMILIES))][0](Random(0))
    question = f"{instruction}\n\n{given}".strip()
    path, output = tmp_path / "two.jsonl", tmp_path / "out.jsonl"
    turns = [[{"role": "user", "content": question}, {"role": "assistant", "content": said}] for said in (truth, "no")]
    path.write_text(
        "".join(json.dumps({"id": str(n), "messages": one, "meta": {}}) + "\n" for n, one in enumerate(turns))
    )
    assert main(["conversations", "score", str(path), "--output", str(output), "--scores", "deita", "quality"]) == 0
    right, wrong = (record["meta"]["scores"] for _, record in read_jsonl(output))
    assert right["quality"] == 6 and wrong["quality"] == 1 and right["deita"] > wrong["deita"]


def test_grades_that_failed_are_asked_for_again(
    chats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refused question leaves its conversation without a score, and the exit status says so."""
    output, refuse = tmp_path / "scored.jsonl", True

    def picky(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        if refuse and "question 7.0," in body["messages"][-1]["content"]:
            return 400, {}, b'{"error": {"message": "no", "type": "invalid_request_error", "code": null}}'
        return respond(body)

    with FakeOpenAI(respond=picky) as server:
        command = ["conversations", "score", str(chats), "--quiet", "--model", "judge", "--base-url", server.url]
        command += ["--scores", "quality", "--output", str(output)]
        assert main(command) == 1
        assert "1 grades are missing" in capsys.readouterr().err
        assert [one["id"] for _, one in read_jsonl(output) if not one["meta"]["scores"]] == ["c7"]
        before, refuse = len(server.requests), False
        assert main(command) == 0 and len(server.requests) == before + 1
    assert all(one["meta"]["scores"] for _, one in read_jsonl(output))
