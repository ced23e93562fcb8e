"""A run: exactly as many records as asked for, every drop counted, whatever the replies do."""

import asyncio
import random
from typing import Any

from camelid.llm import Failure, Reply, Request
from camelid.offline.model import Offline
from camelid.spend import Meter
from selfinstruct.dedup import LIMIT, SimilarTexts
from selfinstruct.generate import BARREN, Outcome, generate
from selfinstruct.seeds import read_seeds


def run(llm: Any, count: int, **options: Any) -> Outcome:
    return asyncio.run(generate(llm, read_seeds(), count, seed=0, concurrency=8, quiet=True, **options))


class Shuffled:
    """The offline model with replies that arrive in random order, some of them failures."""

    name = "offline"

    def __init__(self, seed: int, fail: bool = False) -> None:
        self.random, self.fail = random.Random(seed), fail

    async def complete(self, request: Request) -> Reply | Failure:
        await asyncio.sleep(self.random.random() * 0.01)
        if self.fail and request.sample % 5 == 0:
            return Failure("server", "down")
        return await Offline().complete(request)


def test_exactly_as_many_as_asked_and_all_counted() -> None:
    outcome = run(Offline(), 120)
    assert len(outcome.records) == outcome.tasks.kept == 120 and outcome.stopped is None
    assert outcome.replies.read == outcome.replies.kept
    assert outcome.tasks.read == 17 * outcome.replies.read  # 20 asked for, 3 shown
    assert [record["id"] for record in outcome.records] == [f"task_{index:06d}" for index in range(120)]


def test_records_do_not_depend_on_the_order_of_arrival() -> None:
    assert run(Shuffled(1), 60).records == run(Shuffled(2), 60).records == run(Offline(), 60).records


def test_kept_records_differ_from_each_other_and_the_seeds() -> None:
    records = run(Offline(), 100).records
    kept = SimilarTexts([seed.instruction for seed in read_seeds()])
    for record in records:
        similarity = kept.compare(record["instruction"])
        assert similarity.highest <= LIMIT
        assert record["avg_similarity"] == similarity.average
        assert record["most_similar"] == similarity.most_similar
        kept.add(record["instruction"])


def test_questions_are_kept_out() -> None:
    plain = [record["instruction"] for record in run(Offline(), 60).records]
    outcome = run(Offline(), 60, questions=plain[:10])
    assert not {record["instruction"] for record in outcome.records} & set(plain[:10])
    assert outcome.tasks.dropped["near an evaluation question"] >= 10


def test_failures_are_counted_and_the_run_goes_on() -> None:
    outcome = run(Shuffled(0, fail=True), 60)
    assert len(outcome.records) == 60 and outcome.replies.dropped["server"] > 0


class Always:
    name = "always"

    def __init__(self, result: Reply | Failure) -> None:
        self.result, self.asked = result, 0

    async def complete(self, request: Request) -> Reply | Failure:
        self.asked += 1
        return self.result


def test_a_fatal_failure_ends_the_run_at_once() -> None:
    llm = Always(Failure("quota", "no money left"))
    outcome = run(llm, 60)
    assert outcome.stopped == "quota: no money left" and llm.asked <= 16
    assert not outcome.records


def test_a_model_that_only_repeats_itself_is_given_up() -> None:
    llm = Always(Reply(" Name two rivers of Asia.\n4. Input:\n<noinput>\n4. Output:\nOb, Mekong", "always"))
    outcome = run(llm, 60)
    assert len(outcome.records) == 1
    assert outcome.stopped is not None and f"{BARREN} replies in a row" in outcome.stopped
    assert outcome.tasks.dropped["too similar to one before"] == outcome.tasks.read - 1


def test_a_budget_ends_the_run() -> None:
    outcome = run(Meter(Offline(), None, max_requests=3), 10_000)
    assert outcome.replies.kept == 3 and outcome.stopped == "budget: --max-requests 3 was reached"
