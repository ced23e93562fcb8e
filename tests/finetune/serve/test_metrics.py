"""Latencies in /metrics, as Prometheus reads them."""

import re
import time
from pathlib import Path

import httpx2 as httpx
import pytest

from finetune.serve.engine import ServerLimits
from finetune.serve.histogram import ENDS, Histogram
from finetune.serve.served import ServedModel
from tests.finetune.serve.serving import Running, serving

LINE = re.compile(r'camelid_(\w+)_(bucket|sum|count){model="lively"(?:,le="([^"]+)")?} ([\d.e+-]+)')


def read(server: Running) -> dict[str, dict[str, float]]:
    """Each histogram: its buckets by their ends, `sum` and `count`."""
    found: dict[str, dict[str, float]] = {}
    for line in httpx.get(server.address + "/metrics").text.splitlines():
        if match := LINE.fullmatch(line):
            found.setdefault(match[1], {})[match[3] or match[2]] = float(match[4])
    return found


def test_how_long_answers_wait_begin_and_go_on(
    served: ServedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = type(served.model).forward

    def slow(*args: object, **named: object) -> object:
        time.sleep(0.03)
        return forward(*args, **named)  # type: ignore[arg-type]

    with serving([served], tmp_path, ServerLimits(batch=1)) as server:
        monkeypatch.setattr(served.model, "forward", lambda *args, **named: slow(served.model, *args, **named))
        body = {"model": "lively", "prompt": "red cat", "n": 3, "max_tokens": 5, "temperature": 0}
        began = time.monotonic()
        choices = httpx.post(server.url + "/completions", json=body, timeout=60).json()
        took = time.monotonic() - began
        found = read(server)
    tokens = choices["usage"]["completion_tokens"]
    assert set(found) == {"queue_seconds", "first_token_seconds", "between_tokens_seconds"}
    for histogram in found.values():
        buckets = [histogram[repr(end)] for end in ENDS] + [histogram["+Inf"]]
        assert buckets == sorted(buckets) and histogram["+Inf"] == histogram["count"]
    queue, first, between = (found[f"{name}_seconds"] for name in ("queue", "first_token", "between_tokens"))
    assert queue["count"] == first["count"] == 3 and between["count"] == tokens - 3
    # One answer at a time: the second waits for the first, the third for both.
    assert queue["sum"] < first["sum"] < 3 * took and queue["sum"] >= 0.03 * (tokens - 3) / 2
    assert between["sum"] >= 0.03 * between["count"] and between["0.025"] == 0


def test_buckets() -> None:
    found = Histogram()
    for seconds in (0.0005, 0.001, 0.3, 1e9):
        found.add(seconds)
    counts = dict(found.cumulative())
    assert (counts["0.001"], counts["0.25"], counts["0.5"], counts["500.0"], counts["+Inf"]) == (2, 2, 3, 3, 4)
