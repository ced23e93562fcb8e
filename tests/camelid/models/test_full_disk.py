"""A journal that cannot be written: one clear line, nobody waits for ever, and nothing paid is bought again."""

import asyncio
import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from camelid.errors import UserError
from camelid.files.write import AppendLog
from camelid.message import Message
from camelid.models.journal import Journal
from camelid.models.llm import Reply, Request
from camelid.models.model_run import ModelRun
from tests.fake_openai import FakeOpenAI
from tests.selfinstruct.teacher import answer

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("error", [RuntimeError("odd"), ValueError("odd"), OSError(errno.ENOSPC, "No space left")])
def test_whatever_a_write_raises_its_waiters_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    journal = Journal(tmp_path / "journal.jsonl")
    monkeypatch.setattr(AppendLog, "append_all", fail)

    async def run() -> list[BaseException | None]:
        writes = (journal.append(str(number), Reply("x", "m")) for number in range(20))
        return await asyncio.wait_for(asyncio.gather(*writes, return_exceptions=True), 5)

    results = asyncio.run(run())
    assert len(results) == 20 and all(isinstance(result, UserError | type(error)) for result in results)


def test_a_record_that_cannot_be_written_fails_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")

    async def run() -> list[BaseException | None]:
        replies = [Reply("good", "m"), Reply("\ud83d", "m"), Reply("good", "m")]
        writes = (journal.append(str(number), reply) for number, reply in enumerate(replies))
        return await asyncio.gather(*writes, return_exceptions=True)

    failed = [isinstance(result, BaseException) for result in asyncio.run(run())]
    assert failed == [False, True, False] and len(Journal(tmp_path / "journal.jsonl")) == 2


class Echo:
    """Answers after a moment, so that others are under way when the disk is full."""

    name = "echo"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request.messages[0].content)
        await asyncio.sleep(0.01)
        return Reply("answer " * 20, "echo")


def test_on_a_full_disk_what_is_under_way_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes 10 KB, and then what was set aside once that is given up."""
    real, space = os.fsync, {"left": 10_000}

    def sync(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > space["left"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    class Spare:
        def close(self) -> None:
            space["left"] += 100_000

    monkeypatch.setattr("camelid.models.journal._set_space_aside", lambda _: Spare())
    monkeypatch.setattr(os, "fsync", sync)

    async def ask(model: ModelRun) -> None:
        gate = asyncio.Semaphore(8)

        async def one(number: int) -> None:
            async with gate:
                await model.complete(Request((Message("user", str(number)),)))

        results = await asyncio.gather(*(one(number) for number in range(100)), return_exceptions=True)
        [error] = {str(result) for result in results if isinstance(result, BaseException)} or {""}
        if error:
            raise UserError(error)

    llm = Echo()
    model = ModelRun(llm, tmp_path / "journal.jsonl")
    with model, pytest.raises(UserError, match=r"cannot write .No space left on device.; free some space"):
        model.run(ask(model))
    assert 8 < len(llm.asked) < 40
    space["left"] = 10**9
    with ModelRun(llm, tmp_path / "journal.jsonl") as model:
        model.run(ask(model))
    assert len(llm.asked) == len(set(llm.asked)) == 100


@pytest.mark.slow
def test_a_command_whose_journal_may_not_grow(tmp_path: Path) -> None:
    """The system refuses files above 60 KB: one line, status 2; without that the same command buys only the rest."""
    command = [sys.executable, "-m", "camelid.app.cli", "selfinstruct", "generate", "--quiet", "--count", "250"]
    command += ["--concurrency", "4"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(url: str, most: int | None) -> subprocess.CompletedProcess[str]:
        limit = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))) if most else None
        where = ("--model", "fake", "--base-url", url, "--output", str(tmp_path / "r.jsonl"))
        return subprocess.run(
            [*command, *where], env=env, preexec_fn=limit, capture_output=True, text=True, check=False
        )

    with FakeOpenAI(answer, json_schema=True, latency=0.05) as server:
        stopped = run(server.url, 60_000)
        assert stopped.returncode == 2 and "Traceback" not in stopped.stderr
        assert stopped.stderr.count("cannot write (File too large); free some space") == 1
        assert not (tmp_path / "r.jsonl").exists() and server.requests
        done = run(server.url, None)
        assert done.returncode == 0, done.stderr
        assert set(server.good_replies.values()) == {1}
    assert not (tmp_path / "r.journal.jsonl.overflow").exists()
