"""Replies of any weight keep nobody else waiting."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from finetune.generate.chunk import ChosenToken, Chunk
from finetune.serve.json_reply import json_blocks
from finetune.serve.run import SWITCH_INTERVAL
from finetune.serve.scheduler import Job, Scheduler
from finetune.serve.served import ServedModel
from tests.finetune.serve.serving import serving

TOKENS, ANSWERS = 200, 16


def finished_at_once(self: Scheduler, jobs: list[Job]) -> None:
    """A model that needs no time at all: every answer has its tokens, each with 20 rivals."""
    rivals = {token: -float(token) for token in range(30, 50)}
    tokens = tuple(ChosenToken(30 + place % 20, rivals) for place in range(TOKENS))
    self._publish([(job, Chunk("x", tokens, None, "length")) for job in jobs])


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """CPU seconds of each thing that an event loop did in one go, while nothing else can happen."""
    spent: list[float] = []
    run = asyncio.events.Handle._run

    def measured(self: asyncio.Handle) -> None:
        began = time.thread_time()
        run(self)
        spent.append(time.thread_time() - began)

    monkeypatch.setattr(asyncio.events.Handle, "_run", measured)
    return spent


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["chat/completions", "completions"])
def test_a_heavy_reply_is_written_beside_the_event_loop(
    served: ServedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: list[float], path: str, stream: bool
) -> None:
    monkeypatch.setattr(Scheduler, "submit", finished_at_once)
    chat: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}], "logprobs": True, "top_logprobs": 20}
    ask = chat if path.startswith("chat") else {"prompt": "x", "logprobs": 20}
    body = {"model": "lively", "n": ANSWERS, "stream": stream, **ask}
    with serving([served], tmp_path) as server:
        reply = httpx.post(f"{server.url}/{path}", json=body, timeout=60)
    assert reply.status_code == 200 and len(reply.content) > 500_000
    assert 0 < max(busy) < 0.1
    if not stream:
        logprobs = [choice["logprobs"] for choice in reply.json()["choices"]]
        told = [one["content"] if "content" in one else one["top_logprobs"] for one in logprobs]
        assert [len(tokens) for tokens in told] == [TOKENS] * ANSWERS


@pytest.mark.slow
def test_health_answers_meanwhile(served: ServedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two such requests at once, of 4,096 tokens an answer; needs a machine that does nothing else."""
    monkeypatch.setattr(sys.modules[__name__], "TOKENS", 4096)
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)  # as the command does
    monkeypatch.setattr(Scheduler, "submit", finished_at_once)
    chat: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}], "logprobs": True, "top_logprobs": 20}
    ask = json.dumps({"model": "lively", "n": ANSWERS, **chat})
    waits: list[float] = []
    with serving([served], tmp_path) as server:
        command = ["curl", "-sS", "-H", "content-type: application/json", "-d", ask, server.url + "/chat/completions"]
        asking = [subprocess.Popen([*command, "-o", str(tmp_path / str(place))]) for place in range(2)]
        with httpx.Client(timeout=60) as other:
            while any(one.poll() is None for one in asking):
                began = time.monotonic()
                assert other.get(server.address + "/health").status_code == 200
                waits.append(time.monotonic() - began)
                time.sleep(0.01)
    sys.setswitchinterval(before)
    assert all((tmp_path / str(place)).stat().st_size > 50_000_000 for place in range(2))
    assert len(waits) > 20 and max(waits) < 0.3, sorted(waits)[-5:]


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"a": []},
        {"choices": [{"m": {"c": "é\n"}, "l": list(range(100))}] * 40, "x": None},
        [[1, 2], {"a": {}}],
        "x",
    ],
)
def test_blocks_are_the_value_as_json(value: Any) -> None:
    assert json.loads(b"".join(json_blocks(value))) == value
