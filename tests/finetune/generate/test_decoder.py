"""The decoder writes the same answer whatever else it writes, and says everything about it."""

import dataclasses
import random
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from finetune.folders import weights
from finetune.folders.open_folder import open_chat_tokenizer
from finetune.generate import decoder as decoder_module
from finetune.generate.chunk import Chunk
from finetune.generate.decode import Generated, PromptJob, answer_jobs, generate
from finetune.generate.decoder import READ_AT_ONCE, Decoder
from finetune.generate.sampling import Sampling
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama

CONFIG = LlamaConfig(
    vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=200, initializer_range=0.3,
)  # fmt: skip
END = 2
SAMPLINGS = (
    Sampling(30, temperature=0),
    Sampling(90, temperature=0.8, top_p=0.9),
    Sampling(9, temperature=1.2, top_k=7, top_logprobs=2),
    Sampling(50, temperature=1.0, top_logprobs=0),
    Sampling(60, temperature=0, repetition_penalty=1.4),
)


class Letters:
    """Decodes token n as the n-th character from 'A'."""

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return "".join(chr(65 + index) for index in ids)


class Watched:
    """A model's call that counts the tokens of each pass."""

    def __init__(self, model: Llama) -> None:
        self._model = model
        self.passes: list[int] = []

    def __call__(self, input_ids_T: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        self.passes.append(len(input_ids_T))
        out: torch.Tensor = self._model(input_ids_T, *rest, **named)
        return out


@pytest.fixture(scope="module")
def model(one_thread: None) -> Llama:
    return weights.init_model(CONFIG, seed=3).eval()


def decoder(model: Llama, batch: int = 8, tokens: int = 2048, call: Any = None) -> Decoder[PromptJob]:
    return Decoder[PromptJob](model, Letters(), [END], batch, tokens, call)


def same(mine: Generated, truth: Generated) -> bool:
    """All of it, log-probabilities to float32's accuracy."""
    for one, other in zip(mine.logprobs, truth.logprobs, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    return (mine.ids, mine.text, mine.finish_reason) == (truth.ids, truth.text, truth.finish_reason)


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize(("tokens", "batch"), [(2048, 8), (448, 5), (4096, 40)])
def test_the_same_seed_gives_the_same_tokens_whatever_is_in_flight(
    model: Llama, tokens: int, batch: int, recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers come one by one and in crowds, share prompts, end early, are cancelled.

    `recorded`: in the fixed shapes of a GPU's recordings.
    """
    rng = random.Random(tokens)
    shared = [[rng.randrange(3, 60) for _ in range(rng.randint(1, 70))] for _ in range(5)]
    prompts = [
        rng.choice(shared) if rng.random() < 0.5 else [rng.randrange(3, 60) for _ in range(rng.randint(1, 70))]
        for _ in range(60)
    ]
    jobs = [PromptJob(prompt, seed, rng.choice(SAMPLINGS)) for seed, prompt in enumerate(prompts)]
    chunks: dict[int, list[Chunk]] = {job.seed: [] for job in jobs}
    with monkeypatch.context() as patch:
        if recorded:
            patch.setattr(decoder_module, "can_record", lambda *_: True)
        ours = decoder(model, batch, tokens)
    coming, dropped = list(jobs), set[int]()
    while coming or ours.busy:
        if coming and rng.random() < 0.2:
            ours.add([coming.pop(0) for _ in range(min(len(coming), rng.randint(1, 9)))])
        if rng.random() < 0.02:
            jobs[seed := rng.randrange(len(jobs))].cancelled = True
            dropped.add(seed)
        for job, chunk in ours.step():
            assert not job.cancelled
            chunks[job.seed].append(chunk)
        assert ours.running <= batch
    finished = [job for job in jobs if chunks[job.seed] and chunks[job.seed][-1].end]
    assert {job.seed for job in jobs} - {job.seed for job in finished} <= dropped and len(finished) > 30
    for job in finished:
        [alone] = generate(model, [job.prompt], [job.seed], Letters(), [END], job.sampling)
        assert same(Generated.from_chunks(chunks[job.seed]), alone), job


def test_a_prompt_that_several_share_is_read_once(model: Llama) -> None:
    watched = Watched(model)
    ours = decoder(model, call=watched)
    jobs = [PromptJob([5, 9, 11, 7], seed, Sampling(6, temperature=1.0)) for seed in range(4)]
    jobs.insert(2, PromptJob([8, 4], 9, Sampling(6, temperature=1.0)))
    answers = answer_jobs(ours, jobs)
    assert watched.passes[0] == 6 and max(watched.passes[1:]) <= 5
    assert len({tuple(answer.ids) for answer in answers}) == 5
    for job, answer in zip(jobs, answers, strict=True):
        assert same(answer, generate(model, [job.prompt], [job.seed], Letters(), [END], job.sampling)[0])


def test_who_is_being_answered_waits_for_one_prompt_pass_at_most(model: Llama) -> None:
    watched = Watched(model)
    ours = decoder(model, batch=64, tokens=64 * 256, call=watched)
    length = 150
    together = READ_AT_ONCE // length
    greedy = Sampling(20, temperature=0)
    ours.add(PromptJob([3 + seed % 50] * (length - 1) + [3 + seed], seed, greedy) for seed in range(2 * together))
    while ours.busy:
        ours.step()
    assert watched.passes[0] == watched.passes[2] == together * length <= READ_AT_ONCE
    assert watched.passes[1] <= together


def test_the_end_token_comes_with_its_log_probability(lively_model: Any) -> None:
    """Against transformers' logits for prompt and answer; no part of the text."""
    words = open_chat_tokenizer(lively_model)
    ours, peer = weights.load_model(lively_model).eval(), AutoModelForCausalLM.from_pretrained(lively_model)
    sampling = Sampling(120, temperature=1.0, top_logprobs=2)
    prompts = [[5, 9, 40 + index] for index in range(40)]
    answers = generate(ours, prompts, list(range(40)), words.tokenizer, words.end_ids, sampling)
    ended = [(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True) if answer.end_token is not None]
    assert ended and all((answer.finish_reason == "length") == (answer.end_token is None) for answer in answers)
    tokenizer = AutoTokenizer.from_pretrained(lively_model)
    for prompt, answer in ended[:5]:
        assert answer.end_token is not None and answer.end_token.logprobs is not None
        assert answer.end_token.id in words.end_ids and not set(answer.ids) & set(words.end_ids)
        assert answer.text == tokenizer.decode(answer.ids, skip_special_tokens=True)
        with torch.no_grad():
            truth_V = peer(torch.tensor([prompt + answer.ids])).logits[0, -1].log_softmax(-1)
        wanted = {*truth_V.topk(2).indices.tolist(), answer.end_token.id}
        assert answer.end_token.logprobs == pytest.approx({token: float(truth_V[token]) for token in wanted}, abs=1e-3)


def test_a_failed_step_loses_the_batch_and_not_the_decoder(model: Llama) -> None:
    broken = [False]

    def call(*given: Any, **named: Any) -> Any:
        return 1 / 0 if broken[0] else model(*given, **named)

    ours = decoder(model, batch=2, call=call)
    jobs = [PromptJob([5, 6 + seed], seed, Sampling(8, temperature=0)) for seed in range(4)]
    ours.add(jobs[:1])
    ours.step()
    ours.add(jobs[1:])
    ours.step()
    broken[0] = True
    with pytest.raises(ZeroDivisionError):
        ours.step()  # the second one is joining
    assert {job.seed for job in ours.drop_running()} == {0, 1} and ours.running == 0 and ours.waiting == 2
    assert ours.cache_bytes == 0
    broken[0] = False
    chunks: dict[int, list[Chunk]] = {2: [], 3: []}
    while ours.busy:
        for job, chunk in ours.step():
            chunks[job.seed].append(chunk)
    for job in jobs[2:]:
        assert same(
            Generated.from_chunks(chunks[job.seed]),
            generate(model, [job.prompt], [0], Letters(), [END], job.sampling)[0],
        )


def test_a_job_that_can_not_begin_is_lost_with_the_batch(model: Llama) -> None:
    """It has left the queue and is not in the batch yet."""
    ours = decoder(model)
    unknown = PromptJob([CONFIG.vocab_size], 1, Sampling(5, repetition_penalty=2.0))  # no token of the model
    ours.add([PromptJob([5], 0, SAMPLINGS[0]), unknown, PromptJob([7], 2, SAMPLINGS[0])])
    with pytest.raises(IndexError):
        ours.step()
    assert [job.seed for job in ours.drop_running()] == [0, 1, 2] and not ours.busy


def test_processes_step_together_until_all_are_done(model: Llama) -> None:
    """As many passes as the other process makes, that has more to do; the answers are those of one alone."""
    others = iter([True] * 50)
    watched = Watched(model)
    job = PromptJob([5, 9], 0, Sampling(4, temperature=0, top_logprobs=None))
    [answer] = answer_jobs(decoder(model, call=watched), [job], lambda busy: next(others, False) or busy)
    [alone] = generate(model, [[5, 9]], [0], Letters(), [END], dataclasses.replace(job.sampling))
    assert same(answer, alone)
    assert len(watched.passes) == 50 and watched.passes[-46:] == [1] * 46
