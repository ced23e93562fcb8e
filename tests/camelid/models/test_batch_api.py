"""The Batch API: same replies, half the bill, and never a batch paid for twice."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from camelid.message import Message
from camelid.models import batch_api
from camelid.models.batch_api import BatchModel
from camelid.models.llm import Failure, Reply, Request, complete_in_order
from camelid.models.model_run import ModelRun
from camelid.models.spend import Price
from tests.fake_openai import FakeOpenAI


def requests(count: int) -> list[Request]:
    return [Request((Message("user", f"question {number} \u2028"),), sample=number) for number in range(count)]


def open_run(server: FakeOpenAI, path: Path, **limits: Any) -> ModelRun:
    model = BatchModel("fake", path / "log.batches", server.url, poll=0.02, gather=0.02)
    return ModelRun(model, path / "journal.jsonl", 1000, Price(1.0, 2.0).in_batch(), batch=True, **limits)


def ask(model: ModelRun, count: int, concurrency: int = 1000) -> list[Reply | Failure]:
    async def run() -> list[Reply | Failure]:
        async with aclosing(complete_in_order(model, requests(count), concurrency)) as results:
            return [result async for _, result in results]

    with model:
        return model.run(run())


def test_replies_at_half_the_price(tmp_path: Path) -> None:
    with FakeOpenAI() as server:
        model = open_run(server, tmp_path)
        results = ask(model, 300)
    assert [result.text for result in results if isinstance(result, Reply)] == [
        f"echo: question {number} \u2028" for number in range(300)
    ]
    assert len(server.batches) == 1 and model.cost == pytest.approx(server.bill)
    assert server.bill == pytest.approx(300 * 0.5 * (2 * 1.0 + 3 * 2.0) / 1e6)


def test_every_line_has_its_own_failure_and_is_asked_again(tmp_path: Path) -> None:
    faults = {"500": 0.1, "expired": 0.1, "429": 0.1, "empty": 0.1, "garbage": 0.1}
    with FakeOpenAI(faults=faults) as server:
        before = ask(open_run(server, tmp_path), 200)
        kinds = {result.kind for result in before if isinstance(result, Failure)}
        assert kinds == {"server", "timeout", "rate_limit", "malformed"}
        server.faults = {}
        after = ask(open_run(server, tmp_path), 200)
    assert all(isinstance(result, Reply) for result in after)
    assert set(server.good_replies.values()) == {1}


def test_limits_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "MOST_REQUESTS", 40)
    with FakeOpenAI() as server:
        assert len(ask(open_run(server, tmp_path / "a"), 100)) == 100
        assert [batch["request_counts"]["total"] for batch in server.batches.values()] == [40, 40, 20]
        monkeypatch.setattr(batch_api, "MOST_BYTES", 3000)
        server.files.clear()
        assert len(ask(open_run(server, tmp_path / "b"), 30)) == 30
        assert max(len(file) for file in server.files.values()) <= 3000 * 3  # replies are longer than requests
        assert len(server.batches) > 5


def test_a_batch_whose_id_was_lost_is_found(tmp_path: Path) -> None:
    with FakeOpenAI(lost_batches=1) as server:
        results = ask(open_run(server, tmp_path), 20)
    assert all(isinstance(result, Reply) for result in results)
    assert len(server.batches) == 1 and set(server.good_replies.values()) == {1}


def test_wrong_key_and_failed_batch(tmp_path: Path) -> None:
    class Broken(FakeOpenAI):
        async def _finish(self, batch: dict[str, Any]) -> None:
            error = {"code": "invalid_json_line", "message": "line 3 is no JSON", "line": 3, "param": None}
            batch.update(status="failed", errors={"object": "list", "data": [error]})

    with Broken() as server:
        results = ask(open_run(server, tmp_path), 5)
    [detail] = {result.detail for result in results if isinstance(result, Failure)}
    assert "failed: invalid_json_line: line 3 is no JSON" in detail


@pytest.mark.parametrize("refusal", ["413", "token limit"])
def test_a_batch_that_is_too_large_is_halved(tmp_path: Path, refusal: str) -> None:
    class Small(FakeOpenAI):
        """Takes files of 30 requests."""

        async def _batch_api(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
            if refusal == "413" and (method, path) == ("POST", "files") and body.count(b"custom_id") > 30:
                return 413, {}, b"<html>Request Entity Too Large</html>"
            return await super()._batch_api(method, path, headers, body)

        async def _finish(self, batch: dict[str, Any]) -> None:
            if refusal != "413" and batch["request_counts"]["total"] > 30:
                error = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}
                batch.update(status="failed", errors={"object": "list", "data": [error | {"param": None}]})
            else:
                await super()._finish(batch)

    with Small() as server:
        results = ask(open_run(server, tmp_path), 100)
        assert all(isinstance(result, Reply) for result in results) and set(server.good_replies.values()) == {1}
        done = [batch for batch in server.batches.values() if batch["status"] == "completed"]
        assert [batch["request_counts"]["total"] for batch in done] == [25, 25, 25, 25]
        again = ask(open_run(server, tmp_path), 100)
    assert again == results and set(server.good_replies.values()) == {1}


def test_a_limit_that_no_batch_is_below_is_a_failure(tmp_path: Path) -> None:
    class Full(FakeOpenAI):
        async def _finish(self, batch: dict[str, Any]) -> None:
            error = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}
            batch.update(status="failed", errors={"object": "list", "data": [error | {"param": None}]})

    with Full() as server:
        results = ask(open_run(server, tmp_path), 4)
        assert {result.kind for result in results if isinstance(result, Failure)} == {"rate_limit"}
        assert len(results) == 4 and len(server.batches) == 7


@pytest.mark.parametrize("order", [("good", "bad"), ("bad", "good")])
def test_of_a_reply_and_an_error_the_reply_wins(tmp_path: Path, order: tuple[str, str]) -> None:
    """Both lines for every request, in one file or in two; and a line that cannot be read costs nobody else a thing."""

    class Twice(FakeOpenAI):
        async def _finish(self, batch: dict[str, Any]) -> None:
            await super()._finish(batch)
            good = self.files[batch["output_file_id"]]
            error = {"code": "server_error", "message": "try again"}
            keys = [json.loads(line)["custom_id"] for line in good.splitlines()]
            bad = "".join(json.dumps({"custom_id": key, "response": None, "error": error}) + "\n" for key in keys)
            lines = {"good": good, "bad": bad.encode() + b"{torn\n"}
            self.files[batch["output_file_id"]] = lines[order[0]]
            batch["error_file_id"] = "file-errors"
            self.files["file-errors"] = lines[order[1]]

    with Twice() as server:
        results = ask(open_run(server, tmp_path), 20)
    assert [result.text for result in results if isinstance(result, Reply)] == [
        f"echo: question {number} \u2028" for number in range(20)
    ]


def test_a_parameter_that_is_refused_is_left_out_of_the_next_batch(tmp_path: Path) -> None:
    class Reasoning(FakeOpenAI):
        async def _outcome(self, body: dict[str, Any], fault: str | None, share: float) -> Any:
            if "temperature" in body:
                message = "Unsupported value: 'temperature' does not support 0.5 with this model."
                error = {"message": message, "type": "invalid_request_error", "param": "temperature"}
                return 400, {}, json.dumps({"error": error}).encode()
            return await super()._outcome(body, fault, share)

    with Reasoning() as server:
        results = ask(open_run(server, tmp_path), 30)
    assert all(isinstance(result, Reply) for result in results)
    assert len(server.batches) == 2 and set(server.good_replies.values()) == {1}


def test_max_requests_and_max_cost_hold_in_batches(tmp_path: Path) -> None:
    with FakeOpenAI() as server:
        ask(open_run(server, tmp_path, max_requests=30), 100)
        assert len(server.requests) == 30
        ask(open_run(server, tmp_path, max_cost=server.bill * 2), 100)
        assert 50 <= len(server.requests) <= 61
    assert set(server.good_replies.values()) == {1}


SCRIPT = """
import sys
from pathlib import Path
from types import SimpleNamespace
sys.path.insert(0, {root!r})
from tests.camelid.models.test_batch_api import ask, open_run
results = ask(open_run(SimpleNamespace(url=sys.argv[1]), Path(sys.argv[2])), 50)
print(len({{result.text for result in results}}), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["intention", "made", "waiting"])
def test_a_killed_run_picks_its_batch_up(tmp_path: Path, moment: str) -> None:
    """SIGKILL with the batch intended, made, or waited for; the second run pays for nothing the first has paid for."""
    command = [sys.executable, "-c", SCRIPT.format(root=str(Path(__file__).parents[3]))]
    with FakeOpenAI(latency=1.0) as server:
        process = subprocess.Popen([*command, server.url, str(tmp_path)])
        log = tmp_path / "log.batches"
        wanted = {"intention": '"keys"', "made": '"batch"', "waiting": '"batch"'}[moment]
        while not log.exists() or wanted not in log.read_text():
            time.sleep(0.002)
        if moment == "waiting":
            time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.2)
        made = len(server.batches)
        done = subprocess.run([*command, server.url, str(tmp_path)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "50"
        assert set(server.good_replies.values()) == {1} and len(server.batches) == max(1, made)
        assert ("picked up" in done.stderr) == bool(made)
        for line in log.read_text().splitlines():
            json.loads(line)


def test_an_early_stop_does_not_wait_for_the_batch(tmp_path: Path) -> None:
    async def run(model: ModelRun) -> None:
        await asyncio.wait_for(asyncio.gather(*(model.complete(item) for item in requests(5))), 0.3)

    with FakeOpenAI(latency=60) as server:
        model = open_run(server, tmp_path)
        started = time.monotonic()
        with model, pytest.raises(asyncio.TimeoutError):
            model.run(run(model))
    assert time.monotonic() - started < 2
