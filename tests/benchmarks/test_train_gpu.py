"""The legs of the one-GPU benchmark at toy size on a CPU: they run, and all sides train the same conversations."""

from typing import Any

import pytest
import torch

from benchmarks import train_gpu
from finetune.llama.config import LlamaConfig
from finetune.recipe import OptimSection

TOY = LlamaConfig(
    vocab_size=512, hidden_size=64, intermediate_size=172, num_hidden_layers=2, num_attention_heads=2,
    max_position_embeddings=train_gpu.CAPACITY,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", train_gpu.ADAPTERS)
def test_every_side_runs_on_the_same_tokens(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_gpu, "WARM_UP", 1)
    monkeypatch.setattr(train_gpu, "STEPS", 1)
    small = OptimSection(lr=2e-5, global_batch=2, micro_batch=1)
    monkeypatch.setattr(train_gpu, "OPTIMS", dict.fromkeys(train_gpu.ADAPTERS, small))
    tokens: dict[str, list[int]] = {}

    def timed(update: Any, device: torch.device) -> dict[str, Any]:
        tokens[side] = [update(number) for number in range(2)]
        return {}

    monkeypatch.setattr(train_gpu, "timed", timed)
    for side in ("native", "native eager", *train_gpu.RATIOS):
        facts = train_gpu.one_leg(kind, side, TOY, torch.device("cpu"))
        assert side != "native" or facts["planned_gib"] > 0
    assert tokens["native"] == tokens["native eager"] == tokens["HF packed"] == tokens["HF padded"]
    assert 0 < tokens["native"][0] <= 2 * train_gpu.CAPACITY


@pytest.mark.slow
def test_answers_are_written() -> None:
    assert train_gpu.one_leg("answers", "2", TOY, torch.device("cpu"))["rate"] > 0
