"""Generation from a server that answers in every shape: exactly the right records, each failure counted by its kind."""

import io
import json
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from camelid.app.cli import main
from camelid.files.read import file_hash, read_json, read_jsonl
from camelid.models.llm import FATAL, FINAL
from camelid.models.openai_api import OpenAIModel
from tests.fake_openai import FakeOpenAI
from tests.selfinstruct.teacher import answer
from tests.selfinstruct.test_run import ROOT, assert_all_explained, command, finish
from tests.server_shapes import SHAPES, Response

PLAIN = {name: shape for name, shape in SHAPES.items() if not shape.extra}
GOOD = [name for name, shape in PLAIN.items() if shape.kind is None]
FAILING = [name for name, shape in PLAIN.items() if shape.kind is not None and shape.kind not in FATAL]
LASTING = [name for name in FAILING if SHAPES[name].kind in FINAL]
PASSING = [name for name in FAILING if SHAPES[name].sent > 1]


def counted(response: Response) -> int:
    """Tokens that the server says a response had."""
    try:
        usage = json.loads(response[2]).get("usage") or {}
    except (ValueError, AttributeError):
        return 0
    return int(usage.get("total_tokens", 0))


def test_every_shape_in_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second request meets a failure, the others a reply of one shape after the other."""

    async def pause(self: OpenAIModel, seconds: float) -> None:
        return None

    monkeypatch.setattr(OpenAIModel, "_pause", pause)
    tokens = 0

    def shape_of(seed: int) -> str:
        return FAILING[seed // 2 % len(FAILING)] if seed % 2 else GOOD[seed // 2 % len(GOOD)]

    def respond(body: dict[str, Any]) -> Response:
        nonlocal tokens
        response = SHAPES[shape_of(body["seed"])].respond(body, answer(body))
        tokens += counted(response)
        return response

    output = tmp_path / "r.jsonl"
    with FakeOpenAI(respond=respond) as server, redirect_stderr(io.StringIO()) as said, redirect_stdout(io.StringIO()):
        where = ["--model", "fake", "--base-url", server.url, "--quiet", "--output", str(output), "--count", "700"]
        assert main(["selfinstruct", "generate", "--price", "1,2", *where]) == 0, said.getvalue()
        asked = {body["seed"] for body in server.requests}
        records = [record for _, record in read_jsonl(output)]
        assert len(asked) > 2 * len(FAILING) and {shape_of(record["request"]) for record in records} == set(GOOD)
        facts = assert_all_explained(output, 700)
        last = facts["ledgers"][0]["read"]  # in order; what was in flight beyond the last one needed is not counted
        failures = Counter(SHAPES[shape_of(seed)].kind for seed in range(last) if seed % 2)
        assert facts["ledgers"][0]["dropped"] == dict(failures.most_common())
        assert set(facts["ledgers"][0]["examples"]) == set(failures)
        [spent] = facts["spent"]
        assert spent["prompt_tokens"] + spent["completion_tokens"] - spent["reckoned_tokens"] == tokens
        assert "Draft this" not in output.read_text()
        for seed, sent in Counter(body["seed"] for body in server.requests).items():
            shape = SHAPES[shape_of(seed)]  # refused while another request taught the client, it is sent again
            assert sent == shape.sent or (shape.kind in (None, "bad_request") and sent <= 3), shape_of(seed)


@pytest.mark.parametrize("name", [name for name, shape in PLAIN.items() if shape.kind in FATAL])
def test_what_every_request_would_meet_ends_the_run(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    output = tmp_path / "r.jsonl"
    with FakeOpenAI(respond=lambda body: shape.respond(body, "")) as server, redirect_stdout(io.StringIO()):
        with redirect_stderr(io.StringIO()) as said:
            where = ["--model", "fake", "--base-url", server.url, "--quiet", "--output", str(output), "--count", "99"]
            assert main(["selfinstruct", "generate", *where]) == 1
        assert len(server.requests) == 1
    assert f"{shape.kind}: HTTP" in said.getvalue() and shape.said in said.getvalue()
    assert read_json(tmp_path / "r.ledger.json")["ledgers"][0]["dropped"] == {shape.kind: 1}


@pytest.mark.slow
def test_2000_records_through_all_shapes_and_20_kills(tmp_path: Path) -> None:
    """30% of the requests fail, 8% for good and 22% until they are sent again; nothing journalled is asked again."""
    attempts: Counter[int] = Counter()

    def respond(body: dict[str, Any]) -> Response:
        rng = random.Random(f"shape {body['seed']}")
        fate, attempts[body["seed"]] = rng.random(), attempts[body["seed"]] + 1
        name = rng.choice(LASTING if fate < 0.08 else PASSING if fate < 0.3 else GOOD)
        if body["seed"] == 0 or (name in PASSING and attempts[body["seed"]] % 2 == 0):
            name = "plain"
        return SHAPES[name].respond(body, answer(body))

    rng, few = random.Random(0), ("--concurrency", 4)
    straight, killed = tmp_path / "straight" / "r.jsonl", tmp_path / "killed" / "r.jsonl"
    journal = killed.with_suffix(".journal.jsonl")

    def journalled() -> int:
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    with FakeOpenAI(respond=respond, latency=0.05) as server:
        assert finish(straight, server.url, 2000, *few).returncode == 0
        attempts.clear()
        for _ in range(20):
            process = subprocess.Popen(command(killed, server.url, 2000, *few), stderr=subprocess.DEVNULL, cwd=ROOT)
            until = journalled() + rng.randint(1, 4)
            while journalled() < until:
                assert process.poll() is None, "finished before it could be killed"
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not killed.exists()
        kept = journal.read_bytes()
        result = finish(killed, server.url, 2000, *few)
        assert result.returncode == 0, result.stderr
    assert file_hash(killed) == file_hash(straight)
    assert journal.read_bytes().startswith(kept[: kept.rindex(b"\n") + 1])
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert len(keys) == len(set(keys))  # bought once
    facts = assert_all_explained(killed, 2000)
    assert set(facts["ledgers"][0]["dropped"]) <= FINAL
    ours, theirs = (read_json(path.with_suffix(".ledger.json"))["ledgers"] for path in (killed, straight))
    assert [ledger["dropped"] for ledger in ours] == [ledger["dropped"] for ledger in theirs]
