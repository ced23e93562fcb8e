"""Steps that are played back write what steps that are made anew write."""

import random
from dataclasses import replace
from typing import Any

import pytest
import torch

from finetune.folders import weights
from finetune.generate.decode import PromptJob, answer_jobs
from finetune.generate.decoder import Decoder
from finetune.generate.sampling import Sampling
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from tests.finetune.generate.test_decoder import CONFIG, END, Letters, same

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
SHAPES = {
    "grouped": CONFIG,
    "all heads": replace(CONFIG, num_key_value_heads=4),
    "window": replace(CONFIG, model_type="mistral", sliding_window=20),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_played_steps_equal_made_ones(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences come and go, the cache grows, and all of it in float32, on the device and against the CPU."""
    model = weights.init_model(SHAPES[shape], seed=3).eval()
    rng = random.Random(1)
    jobs = [
        PromptJob(
            [rng.randrange(3, 60) for _ in range(rng.randint(1, 70))],
            seed,
            Sampling(rng.randint(1, 120), temperature=rng.choice([0.0, 0.9]), top_logprobs=1),
        )
        for seed in range(24)
    ]
    greedy = [number for number, job in enumerate(jobs) if job.sampling.temperature == 0]
    truth = answers(model, jobs)
    played, replay = [0], torch.cuda.CUDAGraph.replay

    def counted(graph: torch.cuda.CUDAGraph) -> None:
        played[0] += 1
        replay(graph)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", counted)
    model.to("cuda")
    made = answers(model, jobs, call=model)
    assert played == [0]
    mine = answers(model, jobs)
    assert played[0] > 100
    assert all(same(one, other) for one, other in zip(mine, made, strict=True))
    assert all(same(mine[number], truth[number]) for number in greedy)


def answers(model: Llama, jobs: list[PromptJob], call: Any = None) -> Any:
    """In a batch that most of the jobs wait for, with a cache that starts small."""
    return answer_jobs(Decoder[PromptJob](model, Letters(), [END], 10, 1600, call), jobs)


def test_weights_that_change_in_place_are_the_ones_played() -> None:
    config = LlamaConfig(
        vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        max_position_embeddings=200, initializer_range=0.3,
    )  # fmt: skip
    model, other = (weights.init_model(config, seed=seed).eval().to("cuda") for seed in (1, 2))
    decoder = Decoder[PromptJob](model, Letters(), [], 1, 256)
    job = [PromptJob([5, 9], 0, Sampling(40, temperature=0))]
    before = answer_jobs(decoder, job)
    model.load_state_dict(other.state_dict())
    after = answer_jobs(decoder, [PromptJob([5, 9], 0, Sampling(40, temperature=0))])
    assert after == answer_jobs(Decoder[PromptJob](other, Letters(), [], 1, 256, call=other), job)
    assert before != after
