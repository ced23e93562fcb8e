"""What was answered is on disk before it is used, and is never sent again."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.files.read import read_jsonl
from camelid.models.journal import Journal
from camelid.models.llm import Reply, Usage
from selfinstruct.methods.alpaca import find_form
from selfinstruct.seeds import read_seeds
from tests.fake_openai import FakeOpenAI, offline_answer


def test_log_probabilities_survive_and_old_journals_load(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text(
        '{"key": "old", "reply": {"text": "x", "model": "m", "finish_reason": "stop", '
        '"usage": {"prompt_tokens": 1, "completion_tokens": 2}}}\n'
    )
    reply = Reply("A", "m", usage=Usage(5, 1), top_logprobs=({"A": -0.1, "B": -2.5},))
    journal = Journal(path)
    asyncio.run(journal.append("new", reply))
    journal.close()
    again = Journal(path)
    assert again.get("old") == Reply("x", "m", usage=Usage(1, 2)) and again.get("new") == reply
    assert again.usage == Usage(6, 3)


def test_replies_that_come_together_share_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """256 replies at once, on a disk that takes 20 ms to be sure: far less than 256 x 20 ms; all there at the end."""
    real, syncs = os.fsync, []

    def slow(descriptor: int) -> None:
        syncs.append(descriptor)
        time.sleep(0.02)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)

    async def one(number: int) -> None:
        await journal.append(f"key {number}", Reply("x", "m"))
        assert f'"key {number}"' in path.read_text()  # on disk before it is used

    async def run() -> None:
        await asyncio.gather(*(one(number) for number in range(256)))

    asyncio.run(run())
    journal.close()
    assert len(syncs) <= 4 and len(Journal(path)) == 256


def test_a_foreign_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"key": "x", "reply": {"text": 1}}\n')
    with pytest.raises(UserError, match=r"journal\.jsonl:1: not a journal line"):
        Journal(path)


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    """SIGKILL in the middle of a generation; the same command finishes and re-sends nothing that was answered."""
    output = tmp_path / "records.jsonl"
    with FakeOpenAI(offline_answer, faults={"500": 0.1}, latency=0.05) as server:
        command = [sys.executable, "-m", "camelid.app.cli", "selfinstruct", "generate", "--count", "60", "--quiet"]
        command += ["--model", "fake", "--base-url", server.url, "--concurrency", "2", "--output", str(output)]
        process = subprocess.Popen(command)
        journal = output.with_suffix(".journal.jsonl")
        while not journal.exists() or journal.read_bytes().count(b"\n") < 4:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not output.exists()
        kept = {record["key"] for _, record in read_jsonl(journal)}
        time.sleep(0.3)  # what was in flight comes to its end
        before = len(server.requests)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        requests = find_form("text").open(read_seeds(), 0, "English").requests
        journaled = {request.seed for request in islice(requests, 50) if request.key("fake") in kept}
        assert journaled and not journaled & {body["seed"] for body in server.requests[before:]}
        once = output.read_bytes()
    fresh = tmp_path / "fresh.jsonl"
    with FakeOpenAI(offline_answer) as server:
        command[command.index("--base-url") + 1] = server.url
        command[-1] = str(fresh)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert fresh.read_bytes() == once
