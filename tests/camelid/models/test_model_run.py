"""What was answered is used again and never paid for twice."""

import asyncio
from pathlib import Path

from camelid.message import Message
from camelid.models.llm import Failure, Reply, Request, Usage
from camelid.models.model_run import ModelRun


class Counting:
    """Answers with a running number; every third request fails."""

    name = "counting"

    def __init__(self) -> None:
        self.asked = 0

    async def complete(self, request: Request) -> Reply | Failure:
        self.asked += 1
        if self.asked % 3 == 0:
            return Failure("timeout", "too slow")
        return Reply(f"answer {self.asked}", self.name, usage=Usage(1, 2))


def request(text: str, sample: int = 0) -> Request:
    return Request((Message("user", text),), sample=sample)


def ask(model: ModelRun, *texts: str) -> list[Reply | Failure]:
    async def run() -> list[Reply | Failure]:
        return [await model.complete(request(text)) for text in texts]

    with model:
        return model.run(run())


def test_replies_are_replayed_and_failures_are_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = ModelRun(Counting(), path)
    before = ask(first, "a", "b", "c", "a")
    assert isinstance(before[2], Failure) and before[3] == before[0]
    assert (first.sent, first.replayed) == (3, 0)
    second = ModelRun(Counting(), path)
    after = ask(second, "a", "b", "c")
    assert after[:2] == before[:2] and isinstance(after[2], Reply)
    assert (second.sent, second.replayed) == (1, 2)
    assert second.usage == Usage(3, 6)  # what the first run paid for counts


def test_a_failure_that_is_kept_fails_again_without_being_sent(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with ModelRun(Counting(), path) as model:

        async def run() -> Failure:
            failure = [await model.complete(request(text)) for text in "abc"][-1]
            assert isinstance(failure, Failure)
            await model.keep(request("c"), failure)
            return failure

        failure = model.run(run())
    [again] = ask(second := ModelRun(Counting(), path), "c")
    assert isinstance(again, Failure) and (again.kind, again.detail) == (failure.kind, failure.detail)
    assert (second.sent, second.replayed) == (0, 1)


def test_the_same_question_twice_at_once_is_paid_for_once(tmp_path: Path) -> None:
    model = ModelRun(Counting(), tmp_path / "journal.jsonl")

    async def run() -> list[Reply | Failure]:
        return list(await asyncio.gather(*(model.complete(request("a")) for _ in range(20))))

    with model:
        replies = model.run(run())
    assert len(replies) == 20 and len(set(map(str, replies))) == 1 and model.sent == 1
