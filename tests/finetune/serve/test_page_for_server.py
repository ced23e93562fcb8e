"""`camelid serve --page-for`: what is passed on to the other server, and what is kept here."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from camelid.files.read import read_jsonl
from finetune.serve.access import Access
from tests.finetune.serve.talker import Talker, page_for

QUESTION = [{"role": "user", "content": "red cat"}]


@pytest.fixture
def talker() -> Talker:
    return Talker(["one", "two", "three"])


@pytest.fixture
def address(talker: Talker, tmp_path: Path) -> Iterator[str]:
    with page_for(talker, tmp_path / "votes") as found:
        yield found


def ask(address: str, model: str, **fields: object) -> list[dict[str, object]]:
    body = {"model": model, "messages": QUESTION, "stream": True, **fields}
    reply = httpx.post(f"{address}/v1/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_questions_go_through_with_all_their_fields(address: str, talker: Talker) -> None:
    assert [model["id"] for model in httpx.get(f"{address}/v1/models").json()["data"]] == ["one", "two", "three"]
    events = ask(address, "one", temperature=0.5, some_field_of_vllm=7)
    assert [event["choices"][0]["delta"]["content"] for event in events] == ["You said: red cat", ""]  # type: ignore[index]
    assert talker.asked[0]["some_field_of_vllm"] == 7 and talker.asked[0]["messages"] == QUESTION


def test_a_pair_is_blind_and_its_vote_is_kept_here(address: str, talker: Talker, tmp_path: Path) -> None:
    pair = httpx.post(f"{address}/v1/pairs", json={"messages": QUESTION}).json()
    for name in pair["models"]:
        assert {event["model"] for event in ask(address, name)} == {name}
    asked = [body["model"] for body in talker.asked]
    assert len(set(asked)) == 2 and set(asked) <= {"one", "two", "three"}
    vote = {"pair": pair["id"], "answers": ["a", "b"], "finish_reasons": ["stop", "stop"], "winner": "first"}
    assert httpx.post(f"{address}/v1/votes", json=vote).json()["models"] == asked
    [(_, kept)] = read_jsonl(tmp_path / "votes" / "judgments" / "pairwise" / "human.jsonl")
    assert kept["models"] == asked
    board = httpx.get(f"{address}/v1/leaderboard").json()
    assert {row["model"] for row in board["rows"]} == set(asked)


def test_its_errors_come_through(address: str, talker: Talker) -> None:
    talker.key = "secret"
    reply = httpx.get(f"{address}/v1/models")
    assert reply.status_code == 401 and reply.json()["error"]["message"] == "wrong key"
    body = {"model": "one", "messages": QUESTION, "stream": True}
    assert httpx.post(f"{address}/v1/chat/completions", json=body).status_code == 401
    key = {"authorization": "Bearer secret"}  # the page's, since this server has none of its own
    assert httpx.post(f"{address}/v1/chat/completions", json=body, headers=key).status_code == 200
    assert httpx.get(f"{address}/v1/models", headers=key).status_code == 200


def test_the_servers_own_key_goes_no_further(talker: Talker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "theirs")
    talker.key = "theirs"
    with page_for(talker, tmp_path / "votes", Access(keys=("ours",))) as address:
        assert httpx.get(f"{address}/v1/models").status_code == 401
        assert httpx.get(f"{address}/v1/models", headers={"authorization": "Bearer theirs"}).status_code == 401
        assert httpx.get(f"{address}/v1/models", headers={"authorization": "Bearer ours"}).status_code == 200


def test_nobody_uses_it_from_another_page(address: str) -> None:
    body = {"model": "one", "messages": QUESTION, "stream": True}
    url = f"{address}/v1/chat/completions"
    assert httpx.post(url, json=body, headers={"host": "evil.example"}).status_code == 400
    assert httpx.post(url, content=json.dumps(body), headers={"content-type": "text/plain"}).status_code == 415
    assert httpx.post(url, json={**body, "stream": False}).status_code == 400
    assert httpx.get(f"{address}/page/../pages.py").status_code == 404


def test_a_server_that_is_away_is_said_so(tmp_path: Path, talker: Talker) -> None:
    from fastapi.testclient import TestClient

    from camelid.app.rate_votes import rate_votes
    from finetune.serve.page_for import make_page_app

    app = make_page_app("http://127.0.0.1:9/v1", Access(hosts=("testserver",)), tmp_path, rate_votes)
    with TestClient(app) as client:
        reply = client.get("/v1/models")
    assert reply.status_code == 502 and "http://127.0.0.1:9/v1" in reply.json()["error"]["message"]


def test_the_page_names_who_answers(address: str) -> None:
    page = httpx.get(address)
    assert "/v1 answers, and hears it." in page.text
    policy = page.headers["content-security-policy"]
    assert "connect-src 'self'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
