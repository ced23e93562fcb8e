"""Generation against transformers.generate, and sampling against the distribution it should follow."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from camelid.message import Message
from camelid.models.llm import Request
from finetune.folders import weights
from finetune.generate.decode import PromptJob, generate
from finetune.generate.decoder import Decoder
from finetune.generate.local import LocalModel
from finetune.generate.sampling import (
    Sampling,
    SamplingState,
    choose_tokens,
    draw,
    exponential_noise,
    penalise,
    token_probabilities,
)
from finetune.llama.config import LlamaConfig
from tests.finetune.generate.letters import Letters

CONFIG = LlamaConfig(
    vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.3,
)  # fmt: skip
PROMPTS = [[5, 9, 2], [7], [1, 2, 3, 4, 5, 6, 7, 8], [11, 11]]


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_greedy_equals_transformers(tmp_path: Path, kv_heads: int) -> None:
    config = dataclasses.replace(CONFIG, num_key_value_heads=kv_heads)
    model = weights.init_model(config, seed=3)
    weights.save_model(model.state_dict(), config, tmp_path / "model")
    peer = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    answers = generate(model, PROMPTS, [0] * 4, Letters(), [2], Sampling(40, temperature=0))
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        truth = peer.generate(
            torch.tensor([prompt]), max_new_tokens=40, do_sample=False, eos_token_id=2, pad_token_id=0
        )[0, len(prompt) :].tolist()
        ended = 2 in truth
        assert answer.ids == (truth[: truth.index(2)] if ended else truth)
        assert answer.finish_reason == ("stop" if ended else "length")


def test_context_limit_ends_an_answer() -> None:
    model = weights.init_model(CONFIG, seed=3)
    [answer] = generate(model, [[1] * 60], [0], Letters(), [], Sampling(50, temperature=0))
    assert len(answer.ids) == 4 and answer.finish_reason == "length"


def test_without_a_tokenizer_there_are_ids_alone() -> None:
    model = weights.init_model(CONFIG, seed=3)
    told, untold = (generate(model, PROMPTS, [1, 2, 3, 4], each, [2], Sampling(40)) for each in (Letters(), None))
    assert [each.ids for each in untold] == [each.ids for each in told] and all(each.text for each in told)
    assert [each.finish_reason for each in untold] == [each.finish_reason for each in told]
    assert all(each.text == "" for each in untold)


def test_stop_string_across_tokens() -> None:
    model = weights.init_model(CONFIG, seed=3)
    [whole] = generate(model, [[5]], [0], Letters(), [], Sampling(12, temperature=0))
    stop = whole.text[4:7]
    place = whole.text.find(stop)
    [cut] = generate(model, [[5]], [0], Letters(), [], Sampling(12, temperature=0, stop=(stop,)))
    assert cut.text == whole.text[:place] and cut.finish_reason == "stop"


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (1.0, 0.6)])
def test_samples_follow_the_distribution(temperature: float, top_p: float) -> None:
    model = weights.init_model(CONFIG, seed=3)
    prompt = [5, 9, 2]
    from finetune.llama.attention import Documents

    with torch.no_grad():
        logits = model(torch.tensor(prompt), torch.arange(3), Documents.from_lengths([3]))[-1]
    chances = torch.softmax(logits / temperature, -1)
    ranked, order = chances.sort(descending=True)
    kept = [int(o) for o, before in zip(order, ranked.cumsum(0) - ranked, strict=True) if before < top_p]
    expected = torch.zeros_like(chances)
    expected[kept] = chances[kept] / chances[kept].sum()
    count = 4000
    answers = generate(model, [prompt] * count, list(range(count)), Letters(), [], Sampling(1, temperature, top_p))
    seen = torch.bincount(torch.tensor([answer.ids[0] for answer in answers]), minlength=60) / count
    assert not seen[expected == 0].any()
    # Each share is within 5 standard errors of its probability.
    assert ((seen - expected).abs() <= 5 * (expected * (1 - expected) / count).sqrt() + 1e-9).all()


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "penalty", "min_p"),
    [
        (0.8, 5, 1.0, 1.0, 0.0), (1.3, 0, 0.7, 1.0, 0.0), (0.5, 8, 0.9, 1.4, 0.0), (1.0, 0, 1.0, 0.7, 0.0),
        (1.0, 100, 0.5, 2.0, 0.0), (1.5, 0, 1.0, 1.0, 0.1), (2.0, 9, 0.95, 1.2, 0.3),
    ],
)  # fmt: skip
def test_chances_equal_transformers_processors(
    temperature: float, top_k: int, top_p: float, penalty: float, min_p: float
) -> None:
    logits = torch.randn(4, 60, generator=torch.Generator().manual_seed(0)) * 3
    prompts = torch.randint(0, 60, (4, 12), generator=torch.Generator().manual_seed(1))
    expected = RepetitionPenaltyLogitsProcessor(penalty)(prompts, logits)
    expected = TemperatureLogitsWarper(temperature)(prompts, expected)
    if top_k:
        expected = TopKLogitsWarper(top_k)(prompts, expected)
    expected = TopPLogitsWarper(top_p)(prompts, expected)
    expected = MinPLogitsWarper(min_p)(prompts, expected).softmax(-1)
    sampling = Sampling(1, temperature, top_p, top_k=top_k, repetition_penalty=penalty, min_p=min_p)
    states = [SamplingState(sampling, prompt, 0, 60, torch.device("cpu")) for prompt in prompts.tolist()]
    mine = token_probabilities(penalise(logits, states), sampling)
    torch.testing.assert_close(mine / mine.sum(-1, keepdim=True), expected, atol=1e-6, rtol=1e-5)


def test_greedy_with_repetition_penalty_equals_transformers(tmp_path: Path) -> None:
    model = weights.init_model(CONFIG, seed=3)
    weights.save_model(model.state_dict(), CONFIG, tmp_path / "model")
    peer = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    sampling = Sampling(40, temperature=0, repetition_penalty=1.3)
    answers = generate(model, PROMPTS, [0] * 4, Letters(), [], sampling)
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        ids = torch.tensor([prompt])
        truth = peer.generate(
            ids, max_new_tokens=40, do_sample=False, eos_token_id=-1, pad_token_id=0, repetition_penalty=1.3
        )
        assert answer.ids == truth[0, len(prompt) :].tolist()


@pytest.mark.parametrize(("presence", "frequency"), [(1.5, 0.0), (0.0, 0.8), (0.7, 0.4), (-1.0, -0.5)])
def test_presence_and_frequency_penalties_count_what_the_answer_has(presence: float, frequency: float) -> None:
    """Against logits of a whole pass each, lowered as OpenAI's reference says; the prompt does not count."""
    from finetune.llama.attention import Documents

    model = weights.init_model(CONFIG, seed=3).eval()
    sampling = Sampling(25, temperature=0, presence_penalty=presence, frequency_penalty=frequency)
    for prompt, answer in zip(PROMPTS, generate(model, PROMPTS, [0] * 4, Letters(), [], sampling), strict=True):
        said: list[int] = []
        for _ in range(25):
            ids = torch.tensor([*prompt, *said])
            with torch.no_grad():
                logits = model(ids, torch.arange(len(ids)), Documents.from_lengths([len(ids)]))[-1]
            for token in set(said):
                logits[token] -= presence + frequency * said.count(token)
            said.append(int(logits.argmax()))
        assert answer.ids == said


def test_a_stream_adds_up_to_the_answer_and_shows_no_part_of_a_stop_string() -> None:
    model = weights.init_model(CONFIG, seed=3)
    [whole] = generate(model, [[5]], [0], Letters(), [], Sampling(12, temperature=0))
    stop = (whole.text[4:7], "never")
    decoder = Decoder[PromptJob](model, Letters(), [], 1, 64)
    decoder.add([PromptJob([5], 0, Sampling(12, temperature=0, stop=stop))])
    pieces = []
    while decoder.busy:
        pieces += [chunk for _, chunk in decoder.step()]
    shown = "".join(piece.text for piece in pieces)
    assert shown == whole.text[: whole.text.find(stop[0])]
    assert [piece.end for piece in pieces] == [None] * (len(pieces) - 1) + ["stop"]


def test_an_answer_does_not_depend_on_its_neighbours() -> None:
    model = weights.init_model(CONFIG, seed=3)
    sampling = Sampling(20, temperature=1.0)
    together = generate(model, PROMPTS, [1, 2, 3, 4], Letters(), [2], sampling)
    alone = [generate(model, [p], [s], Letters(), [2], sampling)[0] for p, s in zip(PROMPTS, [1, 2, 3, 4], strict=True)]
    assert [answer.ids for answer in together] == [answer.ids for answer in alone]


def test_logprobs_are_the_models_own(toy_model: Path) -> None:
    """Whatever the temperature: the log-softmax of transformers' logits for the finished text."""
    tokenizer = AutoTokenizer.from_pretrained(toy_model)
    ours, peer = weights.load_model(toy_model).eval(), AutoModelForCausalLM.from_pretrained(toy_model)
    prompt = tokenizer("red cat")["input_ids"]
    [answer] = generate(ours, [prompt], [5], tokenizer, [], Sampling(6, temperature=2.0, top_k=9, top_logprobs=3))
    with torch.no_grad():
        truth_TV = peer(torch.tensor([prompt + answer.ids])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    assert len(answer.logprobs) == len(answer.ids) == 6
    for chosen, logprobs, truth_V in zip(answer.ids, answer.logprobs, truth_TV, strict=True):
        assert set(logprobs) == {chosen, *truth_V.topk(3).indices.tolist()}
        assert logprobs == pytest.approx({token: float(truth_V[token]) for token in logprobs}, abs=1e-4)

    request = Request((Message("user", "red cat"),), temperature=0, max_tokens=4, extra={"logprobs": True})
    wide = dataclasses.replace(request, extra={"logprobs": True, "top_logprobs": 5})

    async def ask(*requests: Request) -> list[Any]:
        model = LocalModel.open(toy_model)
        return await asyncio.gather(*(model.complete(request) for request in requests))

    one, five, none = asyncio.run(ask(request, wide, dataclasses.replace(request, extra={})))
    assert one.text == five.text == none.text and none.top_logprobs == ()
    assert {len(step) for step in one.top_logprobs} == {1} and len(one.top_logprobs) == one.usage.completion_tokens
    assert all(
        next(iter(step)) == next(iter(only)) for step, only in zip(five.top_logprobs, one.top_logprobs, strict=True)
    )


def test_the_shortest_time_wins_and_what_has_no_chance_never_does() -> None:
    """Against the two races run in float64: blocks of 16, then the tokens of one; the chances' sum does not matter."""
    random, device = torch.Generator().manual_seed(0), torch.device("cpu")
    chances_BV = torch.softmax(4 * torch.randn(64, 300, generator=random), dim=-1)
    chances_BV[:, 100:] = 0.0
    whole_BV = np.zeros((64, 304))
    whole_BV[:, :300] = chances_BV.double().numpy()
    for first in range(0, 20 * 64, 64):
        drawn = draw(chances_BV, [exponential_noise(seed, device) for seed in range(first, first + 64)]).tolist()
        for seed, chances_V, token in zip(range(first, first + 64), whole_BV, drawn, strict=True):
            times = np.random.default_rng(seed).standard_exponential(19 + 16)
            with np.errstate(divide="ignore"):
                block = int((times[:19] / chances_V.reshape(19, 16).sum(1)).argmin())
                assert token == 16 * block + (times[19:] / chances_V[16 * block :][:16]).argmin()
            assert token < 100


def test_chances_that_are_no_numbers_give_a_token_all_the_same() -> None:
    """One answer's broken numbers must not end the others'."""
    chances_BV = torch.tensor([[0.0, 1.0, 0.0], [float("nan")] * 3])
    first, second = draw(chances_BV, [exponential_noise(seed, torch.device("cpu")) for seed in (1, 2)]).tolist()
    assert first == 1 and 0 <= second < 3


def test_the_last_bits_of_chances_hardly_ever_choose_another_token() -> None:
    """They differ with what else is in the batch, and a seeded answer must not."""
    random, device = torch.Generator().manual_seed(0), torch.device("cpu")
    logits_BV = torch.randn(512, 4096, generator=random)
    other_BV = logits_BV * (1 + 2e-7 * torch.randn(logits_BV.shape, generator=random))
    one, other = (
        draw(torch.softmax(each, -1), [exponential_noise(seed, device) for seed in range(512)])
        for each in (logits_BV, other_BV)
    )
    assert torch.equal(one, other)


def test_tokens_come_as_often_as_they_are_likely() -> None:
    """Seeds in a row, negative ones too, whose first and second tokens are independent: chi-squared at 1e-4."""
    chances = np.array([0.5, 0.25, 0.125, 0.0625, 0.0625])
    logits_BV = torch.tensor(chances).log().float().repeat(8192, 1)
    device = torch.device("cpu")
    states = [SamplingState(Sampling(2), [0], seed, chances.size, device) for seed in range(-4096, 4096)]
    first, second = choose_tokens(logits_BV, states), choose_tokens(logits_BV, states)
    found = np.bincount(np.array(first) * chances.size + second, minlength=chances.size**2)
    assert chisquare(found, 8192 * np.outer(chances, chances).ravel()).pvalue > 1e-4
    assert first[:4096] != first[4096:][::-1]


@pytest.mark.parametrize("size", [1, 2, 3, 37, 64])
def test_so_do_those_of_every_vocabulary(size: int) -> None:
    """Whether or not its blocks are full; half of the tokens are hardly likely."""
    chances = np.random.default_rng(size).dirichlet(np.where(np.arange(size) % 2, 0.1, 3.0))
    chances_BV = torch.tensor(chances).float().repeat(16_384, 1)
    drawn = draw(chances_BV, [exponential_noise(seed, torch.device("cpu")) for seed in range(16_384)]).numpy()
    expected, often = 16_384 * chances, chances > 5 / 16_384
    assert drawn.max() < size
    found = np.bincount(drawn, minlength=size)
    kept, wanted = (np.append(each[often], each[~often].sum()) for each in (found, expected))
    assert chisquare(kept, wanted + 1e-9).pvalue > 1e-4
