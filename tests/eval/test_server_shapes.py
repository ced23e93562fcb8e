"""`eval judge` against every shape of answer: a verdict where there is one, its reason where there is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from camelid.models.openai_api import OpenAIModel
from tests.eval.test_faults import prepare, run
from tests.fake_openai import FakeOpenAI
from tests.server_shapes import SHAPES


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pause(self: OpenAIModel, seconds: float) -> None:
        return None

    monkeypatch.setattr(OpenAIModel, "_pause", pause)


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if not shape.extra.keys() - {"max_tokens"}])
def test_a_shape(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    shared = prepare(tmp_path, 1, models=1)
    more = ["--audit", "0", "--temperature", "0.5", "--max-tokens", str(shape.extra.get("max_tokens", 2048))]
    with FakeOpenAI(respond=lambda body: shape.respond(body, "Good.\n\nRating: [[7]]")) as server:
        arguments = ("--model", "fake", "--base-url", server.url, *more)
        judged = run("judge", shared, *arguments)
        # These refuse max_tokens or top_p, which are asked for here in any case.
        assert len(server.requests) == shape.sent, judged.stderr
        [record] = read_judgments(tmp_path)
        if shape.kind is None:
            assert judged.returncode == 0 and record["scores"] == [7.0], judged.stderr
            assert record["text"] == "Good.\n\nRating: [[7]]"
        else:
            assert judged.returncode == 1 and record["scores"] is None, judged.stdout
            assert record["failure"].startswith(f"{shape.kind}: ") and shape.said in record["failure"]
            assert shape.kind in judged.stderr


def read_judgments(folder: Path) -> list[Any]:
    path = folder / "eval" / "judgments" / "single" / "fake.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]
