"""Continuous batching writes what `generate` writes, whoever comes and goes meanwhile."""

import random
import threading
from collections.abc import Callable

import pytest

from finetune.generate.chunk import Chunk
from finetune.generate.decode import Generated, generate
from finetune.generate.decoder import Decoder
from finetune.generate.sampling import Sampling
from finetune.generate.slots import Slots
from finetune.serve.scheduler import BusyError, Job, Scheduler
from finetune.serve.served import ServedModel

SAMPLINGS = (
    Sampling(30, temperature=0),
    Sampling(60, temperature=0.8, top_p=0.9),
    Sampling(9, temperature=1.2, top_k=7),
    Sampling(90, temperature=0, repetition_penalty=1.4),
    Sampling(40, temperature=0.7, repetition_penalty=1.1, stop=("a", "th")),
)


class Answers:
    """Collects the chunks of jobs and says when all have ended."""

    def __init__(self, count: int) -> None:
        self.chunks: list[list[Chunk]] = [[] for _ in range(count)]
        self.done = threading.Event()
        self._left = count

    def sink(self, index: int) -> Callable[[Chunk], None]:
        def take(chunk: Chunk) -> None:
            self.chunks[index].append(chunk)
            self._left -= chunk.end is not None
            if not self._left:
                self.done.set()

        return take


def publish(chunks: list[tuple[Job, Chunk]]) -> None:
    for job, chunk in chunks:
        job.sink(chunk)


def start(served: ServedModel, batch: int = 8, tokens: int = 2048, waiting: int = 1000) -> Scheduler:
    decoder = Decoder[Job](served.model, served.tokenizer, served.end_ids, batch, tokens)
    return Scheduler(decoder, publish, waiting)


def alone(served: ServedModel, prompt: list[int], seed: int, sampling: Sampling) -> Generated:
    return generate(served.model, [prompt], [seed], served.tokenizer, served.end_ids, sampling)[0]


@pytest.mark.parametrize("tokens", [2048, 320])
def test_answers_are_those_of_generate(served: ServedModel, tokens: int) -> None:
    rng = random.Random(tokens)
    prompts = [[rng.randrange(3, 400) for _ in range(rng.randint(1, 70))] for _ in range(25)]
    samplings = [rng.choice(SAMPLINGS) for _ in prompts]
    answers, biggest = Answers(len(prompts)), 0
    scheduler = start(served, tokens=tokens)
    for number, (prompt, sampling) in enumerate(zip(prompts, samplings, strict=True)):
        scheduler.submit([Job(prompt, number, sampling, answers.sink(number))])
        if number % 5 == 0:  # so that they come in the middle of others
            answers.done.wait(0.03)
        biggest = max(biggest, scheduler.cache_bytes)
    assert answers.done.wait(60)
    biggest = max(biggest, scheduler.cache_bytes)
    scheduler.close()
    config = served.model.config
    assert biggest <= 2 * config.num_hidden_layers * config.kv_heads * config.head_size * 4 * tokens
    for number, (prompt, sampling) in enumerate(zip(prompts, samplings, strict=True)):
        expected = alone(served, prompt, number, sampling)
        got = answers.chunks[number]
        assert "".join(chunk.text for chunk in got) == expected.text
        assert [chunk.end for chunk in got] == [None] * (len(got) - 1) + [expected.finish_reason]
        assert sum(len(chunk.tokens) for chunk in got) == len(expected.ids)


def test_cancelled_answers_make_room(served: ServedModel) -> None:
    answers = Answers(3)
    scheduler = start(served, batch=1)
    jobs = [Job([5, 6], seed, Sampling(200, temperature=2.0), answers.sink(seed)) for seed in range(3)]
    scheduler.submit(jobs)
    jobs[0].cancelled = jobs[1].cancelled = True
    while not answers.chunks[2]:
        answers.done.wait(0.01)
    assert scheduler.running + scheduler.waiting <= 1
    assert not answers.chunks[1] or answers.chunks[1][-1].end  # it never began, unless all was over before
    scheduler.close()


def test_only_so_many_wait(served: ServedModel) -> None:
    answers = Answers(30)
    scheduler = start(served, batch=1, waiting=2)
    job = [Job([5], seed, Sampling(200, temperature=2.0), answers.sink(seed)) for seed in range(30)]
    with pytest.raises(BusyError):
        scheduler.submit(job)
    with pytest.raises(BusyError):
        for one in job:
            scheduler.submit([one])
    assert scheduler.waiting <= 3
    scheduler.close()


def test_a_failure_of_the_model_ends_its_answers_and_not_the_server(
    served: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler, first, second = start(served), Answers(1), Answers(1)
    with monkeypatch.context() as broken:
        broken.setattr(Slots, "attend", lambda *_: 1 / 0)
        scheduler.submit([Job([5, 6], 0, SAMPLINGS[0], first.sink(0))])
        assert first.done.wait(20)
    assert [chunk.end for chunk in first.chunks[0]] == ["error"]
    scheduler.submit([Job([5, 6], 0, SAMPLINGS[0], second.sink(0))])
    assert second.done.wait(20)
    assert "".join(chunk.text for chunk in second.chunks[0]) == alone(served, [5, 6], 0, SAMPLINGS[0]).text
    assert scheduler.failed == 1 and scheduler.alive
    scheduler.close()
