"""The legs of the one-GPU benchmark at toy size on a CPU: they run, and all sides train the same conversations."""

from typing import Any

import pytest
import torch

from benchmarks import train_gpu
from finetune.llama.config import LlamaConfig
from finetune.recipe import OptimSection

TOY = LlamaConfig(
    vocab_size=512, hidden_size=64, intermediate_size=192, num_hidden_layers=2, num_attention_heads=2,
    max_position_embeddings=train_gpu.CAPACITY,
)  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_gpu, "WARM_UP", 1)
    monkeypatch.setattr(train_gpu, "STEPS", 1)
    optim = OptimSection(lr=2e-5, global_batch=2, micro_batch=1)
    monkeypatch.setattr(train_gpu, "OPTIMS", dict.fromkeys(train_gpu.ADAPTERS, optim))


@pytest.mark.slow
@pytest.mark.parametrize("kind", train_gpu.ADAPTERS)
def test_every_side_runs_on_the_same_tokens(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Liger's kernels are Triton's, which wants a GPU; TRL packs by itself, see below."""
    if (package := train_gpu.missing(kind, "native")) is not None:
        pytest.skip(f"{package} is not installed")
    tokens: dict[str, list[int]] = {}

    def timed(update: Any, device: torch.device, steps: int | None = None) -> dict[str, Any]:
        tokens[side] = [update(number) for number in range(2)]
        return {}

    monkeypatch.setattr(train_gpu, "timed", timed)
    compiled = [] if kind == "qlora" else ["native"]
    for side in [*compiled, *train_gpu.sides_of(kind)]:
        if side != "TRL" and "Liger" not in side:
            facts = train_gpu.one_leg(kind, side, TOY, torch.device("cpu"))
            assert "native" not in side or facts["planned_gib"] > 0
    assert len(tokens) == {"full": 4, "lora": 4, "qlora": 3, "fp8": 2, "alpaca": 1}[kind]
    first = next(iter(tokens.values()))
    assert all(each == first for each in tokens.values()) and 0 < first[0] <= 2 * train_gpu.CAPACITY


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_trl_trains_rows_that_are_about_as_full(kind: str) -> None:
    facts = train_gpu.one_leg(kind, "TRL", TOY, torch.device("cpu"))
    full = 2 * train_gpu.CAPACITY
    assert facts["rate"] > 0 and all(0.75 * full < seen <= full for seen in facts["tokens"])


@pytest.mark.slow
def test_answers_are_written() -> None:
    rates = train_gpu.one_leg("answers", "2", TOY, torch.device("cpu"))
    assert rates["rate"] > 0 and rates["anew"] > 0
