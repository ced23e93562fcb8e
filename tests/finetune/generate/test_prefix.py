"""Prompts that begin like others are read from where they differ, and are answered as if they had been read whole."""

import random
from typing import Any

import pytest

from finetune.folders import weights
from finetune.generate.chunk import Chunk
from finetune.generate.decode import Generated, PromptJob, answer_jobs, generate
from finetune.generate.decoder import PIECE, Decoder
from finetune.generate.prefix import LEAST
from finetune.generate.sampling import Sampling
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from tests.finetune.generate.letters import Letters

CONFIG = LlamaConfig(
    vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=4096, initializer_range=0.3,
)  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "window": {"model_type": "mistral", "sliding_window": 9},
    "dynamic": {"max_position_embeddings": 2048, "rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
}
GREEDY = Sampling(12, temperature=0)


@pytest.fixture(scope="module", params=SHAPES)
def model(request: pytest.FixtureRequest, one_thread: None) -> Llama:
    import dataclasses

    return weights.init_model(dataclasses.replace(CONFIG, **SHAPES[request.param]), seed=3).eval()


def decoder(model: Llama, kept: int = 8192, batch: int = 64) -> Decoder[PromptJob]:
    return Decoder[PromptJob](model, Letters(), [2], batch, 64 * 2560, kept_tokens=kept)


def ids(count: int, seed: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.randrange(3, 60) for _ in range(count)]


def truth(model: Llama, job: PromptJob) -> list[int]:
    """The answer of a decoder that keeps nothing."""
    return generate(model, [job.prompt], [job.seed], Letters(), [2], job.sampling)[0].ids


def test_the_second_turn_of_a_long_chat_reads_only_what_is_new(model: Llama) -> None:
    ours, first = decoder(model), PromptJob(ids(2000, 1), 0, GREEDY)
    [answer] = answer_jobs(ours, [first])
    assert answer.ids == truth(model, first) and ours.read_tokens == 2000
    said, unread = first.prompt + answer.ids, answer.finish_reason == "length"
    second = PromptJob(said + ids(50, 2), 0, GREEDY)
    before = ours.read_tokens
    [answer] = answer_jobs(ours, [second])
    assert answer.ids == truth(model, second)
    # The last token of an answer that ran to its limit has not been read yet.
    known = len(said) - unread if model.config.rope_type != "dynamic" else 0
    assert ours.read_tokens - before == len(second.prompt) - known


def test_a_system_prompt_that_all_share_is_read_once(model: Llama) -> None:
    system = ids(512, 7)
    jobs = [PromptJob(system + ids(32, 100 + index), index, GREEDY) for index in range(8)]
    ours = decoder(model)
    answers = answer_jobs(ours, jobs)
    assert [answer.ids for answer in answers] == [truth(model, job) for job in jobs]
    if model.config.rope_type != "dynamic":
        assert 512 + 8 * 28 < ours.read_tokens <= 512 + 8 * 32  # some go on alike for a token more
        whole = decoder(model, kept=0)
        answer_jobs(whole, jobs)
        assert whole.read_tokens == 8 * 544


def test_a_long_prompt_is_read_in_pieces_between_which_others_go_on(model: Llama) -> None:
    ours, long = decoder(model), PromptJob(ids(2 * PIECE + 100, 5), 1, GREEDY)
    short = PromptJob(ids(20, 6), 2, Sampling(40, temperature=0))
    ours.add([short])
    chunks: dict[int, list[Chunk]] = {1: [], 2: []}
    passes: list[tuple[int, int]] = []  # prompt tokens read, pieces of the short answer
    while ours.busy:
        if len(passes) == 3:
            ours.add([long])
        read, written = ours.read_tokens, len(chunks[2])
        for job, chunk in ours.step():
            chunks[job.seed].append(chunk)
        passes.append((ours.read_tokens - read, len(chunks[2]) - written))
    for job in (long, short):
        assert Generated.from_chunks(chunks[job.seed]).ids == truth(model, job)
    if model.config.rope_type != "dynamic":
        assert [read for read, _ in passes if read] == [20, PIECE, PIECE, 100]
        assert [written for _, written in passes[3:9]] == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("kept", [300])
def test_whatever_comes_and_goes(model: Llama, kept: int) -> None:
    """Chats that grow, branch, are cancelled, in little room; the log-probabilities of prompts in between."""
    rng, ours = random.Random(kept), decoder(model, kept, batch=5)
    known = [ids(rng.randint(1, 90), seed) for seed in range(4)]
    jobs, chunks = [], dict[int, list[Chunk]]()
    for seed in range(50):
        start = rng.choice(known)
        prompt = start[: rng.randint(1, len(start))] + ids(rng.randint(0, 40), seed)
        asked = rng.choice([None, None, None, 2])
        job = PromptJob(prompt, seed, Sampling(rng.randint(1, 12), temperature=0, prompt_logprobs=asked))
        jobs.append(job)
        chunks[seed] = []
        ours.add([job])
        known.append(prompt + ids(9, -seed))
        for _ in range(rng.randint(0, 4)):
            for each, chunk in ours.step():
                chunks[each.seed].append(chunk)
                if chunk.end:
                    known.append(each.prompt + Generated.from_chunks(chunks[each.seed]).ids)
        if rng.random() < 0.1:
            rng.choice(jobs).cancelled = True
    while ours.busy:
        for each, chunk in ours.step():
            chunks[each.seed].append(chunk)
    done = [job for job in jobs if chunks[job.seed] and chunks[job.seed][-1].end]
    assert len(done) > 35
    for job in done:
        answer = chunks[job.seed]
        assert Generated.from_chunks(answer).ids == truth(model, job), job.seed
        assert len(answer[0].prompt) == (0 if job.sampling.prompt_logprobs is None else len(job.prompt))
        assert answer[0].known == 0 or LEAST <= answer[0].known < len(job.prompt)
    if model.config.rope_type != "dynamic":
        assert sum(chunks[job.seed][0].known for job in done) > 200
        assert ours._kept is not None and ours._kept.tokens <= kept
