"""Pairs and votes over HTTP: a pair is asked blind, gets one vote, and is a human judgment to `camelid eval`."""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from camelid.app.cli import main
from camelid.files.read import read_jsonl
from eval.ask.questions import read_questions
from eval.folder import read_all_answers
from finetune.serve.bodies import PairBody
from finetune.serve.pairs import Pairs
from finetune.serve.served import ServedModel, open_served
from tests.finetune.serve.serving import Running, serving

NAMES = ("runs/a b/tuned", "base", "third")
CLIENT = httpx.Client(timeout=60)  # one: each reads all certificates of the machine anew
ASK = [{"role": "user", "content": "red cat"}]


@pytest.fixture(scope="module")
def served(lively_model: Path, one_thread: None) -> list[ServedModel]:
    return [open_served(lively_model, name) for name in NAMES]


@pytest.fixture
def running(served: list[ServedModel], tmp_path: Path) -> Iterator[Running]:
    with serving(served, tmp_path / "votes") as server:
        yield server


def post(server: Running, path: str, body: Any) -> httpx.Response:
    return CLIENT.post(f"{server.url}/{path}", json=body)


def ask(server: Running, messages: Any = ASK, **more: Any) -> dict[str, Any]:
    reply = post(server, "pairs", {"messages": messages, **more})
    assert reply.status_code == 200, reply.text
    pair: dict[str, Any] = reply.json()
    return pair


def verdict(pair: dict[str, Any], winner: str = "first", **more: Any) -> dict[str, Any]:
    whole = {"answers": ["left [[B]]", "right"], "finish_reasons": ["stop", "length"]}
    return {"pair": pair["id"], **whole, "winner": winner, **more}


def judged(server: Running) -> list[Any]:
    path = server.votes / "judgments" / "pairwise" / "human.jsonl"
    return [record for _, record in read_jsonl(path)] if path.exists() else []


def two(first: str, second: str) -> list[dict[str, str]]:
    return [{"model": first}, {"model": second}]


def test_a_pair_is_answered_blind_and_its_vote_tells_the_models(running: Running, served: list[ServedModel]) -> None:
    pair = ask(running)
    assert len(set(pair["models"])) == 2
    for name in pair["models"]:
        for stream in (False, True):
            body = {"model": name, "messages": ASK, "max_tokens": 4, "temperature": 0, "stream": stream}
            reply = post(running, "chat/completions", body)
            assert reply.status_code == 200 and name in reply.text
            assert not any(real in reply.text for real in NAMES)
            assert served[0].fingerprint not in reply.text
    kept = post(running, "votes", verdict(pair)).json()
    assert set(kept["models"]) <= set(NAMES) and kept["winner"] == "first"
    [judgment] = judged(running)
    assert judgment["models"] == kept["models"] and judgment["question"] == pair["id"]
    assert judgment["scores"] == [1.0, 0.0]


def test_one_vote_a_pair_whatever_buttons_retries_and_tabs_do(running: Running) -> None:
    pair = ask(running)
    replies: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: replies.append(post(running, "votes", verdict(pair)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [reply.status_code for reply in replies] == [200] * 8
    assert len({reply.text for reply in replies}) == 1
    other = post(running, "votes", verdict(pair, "tie"))
    assert other.status_code == 409 and other.json()["error"]["code"] == "already_voted"
    assert "first" in other.json()["error"]["message"]
    assert len(judged(running)) == 1
    assert sum(1 for _ in read_jsonl(running.votes / "questions.jsonl")) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"finish_reasons": ["stop", None]},
        {"finish_reasons": [None, None], "answers": ["", ""]},
        {"finish_reasons": ["error", "stop"]},
        {"answers": ["", " \n"]},
        {"winner": "both"},
        {"pair": "pair-0123456789abcdef"},
    ],
)
def test_no_vote_on_a_stopped_or_empty_or_unknown_pair(running: Running, change: dict[str, Any]) -> None:
    reply = post(running, "votes", {**verdict(ask(running)), **change})
    assert reply.status_code == (404 if "pair" in change else 400)
    assert reply.json()["error"]["message"] and not judged(running)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"messages": [*ASK, {"role": "assistant", "content": "Hi."}]}, 400),
        ({"messages": [{"role": "user", "content": " "}]}, 400),
        ({"messages": []}, 400),
        ({"messages": ASK, "sides": two("base", "base")}, 400),
        ({"messages": ASK, "sides": [{"model": "base"}]}, 400),
        ({"messages": ASK, "sides": two("base", "thirt")}, 404),
    ],
)
def test_what_is_no_pair(running: Running, body: Any, status: int) -> None:
    reply = post(running, "pairs", body)
    assert reply.status_code == status and reply.json()["error"]["message"]


def test_an_arena_draws_any_two_on_either_side() -> None:
    pairs = Pairs()
    body = PairBody.model_validate({"messages": ASK})
    drawn = Counter(tuple(pairs.ask(body, NAMES).labels) for _ in range(600))
    assert set(drawn) == {(one, other) for one in NAMES for other in NAMES if one != other}
    assert min(drawn.values()) > 50  # of 100 each; fewer than one run in a million


def test_an_arena_needs_two_models(served: list[ServedModel], tmp_path: Path) -> None:
    with serving(served[:1], tmp_path) as server:
        reply = post(server, "pairs", {"messages": ASK})
        assert reply.status_code == 400 and "two models" in reply.json()["error"]["message"]


def test_what_a_side_is_asked_with_alone(running: Running) -> None:
    sides = [{"model": "base", "temperature": 0.0, "system": "be kind"}, {"model": "base", "system": ""}]
    messages = [{"role": "system", "content": "be brief"}, *ASK]
    pair = ask(running, messages, sides=sides)

    def said(model: str, chat: Any) -> str:
        body = {"model": model, "messages": chat, "max_tokens": 12, "temperature": 0}
        return str(post(running, "chat/completions", body).json()["choices"][0]["message"]["content"])

    answers = {said(name, messages) for name in pair["models"]}
    assert answers == {said("base", [{"role": "system", "content": "be kind"}, *ASK]), said("base", ASK)}
    labels = post(running, "votes", verdict(pair)).json()["models"]
    digest = hashlib.sha256(b"be kind").hexdigest()[:6]
    assert sorted(labels) == ["base (no system)", f"base (temperature 0, system {digest})"]


def test_votes_of_three_models_rank_and_are_preferences(
    running: Running, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune.serve.pairs.random.shuffle", lambda sides: None)  # so that one knows the sides
    ours, base, third = NAMES
    chat = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}, *ASK]
    for models, best in (((ours, base), ours), ((ours, base), ours), ((base, third), base), ((third, ours), None)):
        pair = ask(running, chat, sides=two(*models))
        winner = "tie" if best is None else ("first", "second")[models.index(best)]
        assert post(running, "votes", verdict(pair, winner)).status_code == 200
    folder = running.votes
    questions = read_questions(folder / "questions.jsonl")
    assert questions[0].turns == ("USER: Hello\n\nASSISTANT: Hi.\n\nUSER: red cat",)
    answers = read_all_answers(folder)
    assert Counter(answer.cut for answer in answers) == {(False,): 4, (True,): 4}
    records = [record for path in (folder / "answers").iterdir() for _, record in read_jsonl(path)]
    assert {tuple(record["finish_reasons"]) for record in records} == {("stop",), ("length",)}
    arguments = ["eval", "report", "--questions", str(folder / "questions.jsonl"), "--output", str(folder)]
    assert main(arguments) == 0, capsys.readouterr().err
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    assert results["complete"] and results["judges"] == ["human"]
    ranks = {row["label"]: row["rank"] for row in results["boards"][0]["rows"]}
    assert ranks[ours] == 1 and sorted(ranks) == sorted(NAMES) and None not in ranks.values()
    prefs = folder.parent / "prefs.jsonl"
    assert main(["eval", "preferences", str(folder), "--output", str(prefs)]) == 0
    pairs = [record for _, record in read_jsonl(prefs)]
    assert [(one["chosen"]["model"], one["rejected"]["model"]) for one in pairs] == [
        (ours, base),
        (ours, base),
        (base, third),
    ]
    assert [turn["content"] for turn in pairs[0]["prompt"]] == ["Hello", "Hi.", "red cat"]


def test_a_vote_that_the_disk_does_not_take_is_told(running: Running) -> None:
    running.votes.write_text("no folder")
    pair = ask(running)
    reply = post(running, "votes", verdict(pair))
    assert reply.status_code == 500 and "--votes" in reply.json()["error"]["message"]
    running.votes.unlink()
    assert post(running, "votes", verdict(pair)).status_code == 200 and len(judged(running)) == 1
