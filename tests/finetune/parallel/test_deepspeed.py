"""DeepSpeed's layouts: losses, gradient norms and weights of one process, and results in the base's precision."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.folders import weights
from finetune.folders.merge import copy_tokenizer
from finetune.llama.config import LlamaConfig
from tests.finetune.parallel.same_run import assert_same
from tests.finetune.runs import deepspeed, launch, run, tensors, variant

pytestmark = pytest.mark.slow
pytest.importorskip("deepspeed")


def require_run(recipe: dict[str, Any], stage: int, offload: str = "none", **environment: str) -> None:
    """One recipe a launch: DeepSpeed keeps groups of the processes that it met first."""
    result = launch([recipe], 2, **deepspeed(stage, offload), **environment)
    assert result.returncode == 0, result.stderr[-3000:]


def sharded(recipe: dict[str, Any], stage: int, name: str, **changes: object) -> dict[str, Any]:
    return variant(recipe, f"zero{stage}-{name}", run__sharding=f"zero{stage}", run__processes=2, **changes)


@pytest.mark.parametrize("micro_tokens", [128, 512])
@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed(recipe: dict[str, Any], reference: dict[str, Any], stage: int, micro_tokens: int) -> None:
    ours = sharded(recipe, stage, f"micro-{micro_tokens}", optim__micro_tokens=micro_tokens)
    require_run(ours, stage)
    assert_same(ours, reference)


@pytest.mark.parametrize("stage", [2, 3])
def test_norm_of_large_matrices(recipe: dict[str, Any], toy_model: Path, tmp_path: Path, stage: int) -> None:
    """Matrices that ZeRO-3 cuts (it keeps those below 100,000 numbers whole), and whose norm float32 can't add up."""
    config = dataclasses.replace(LlamaConfig.from_folder(toy_model), hidden_size=256, intermediate_size=1024)
    weights.save_model(weights.init_model(config, seed=0).state_dict(), config, tmp_path / "wide")
    copy_tokenizer([toy_model], tmp_path / "wide")
    one = variant(recipe, f"wide-{stage}", model__path=str(tmp_path / "wide"), optim__updates=8)
    ours = sharded(one, stage, "wide")
    assert run(one) == 0
    require_run(ours, stage)
    assert_same(ours, one)


def test_a_process_that_reads_nothing(recipe: dict[str, Any]) -> None:
    """With one document an update the second process has none; recomputing layers, it must not wait for ever."""
    one = variant(recipe, "idle", optim__global_batch=1, optim__updates=4, model__recompute="full")
    ours = sharded(one, 3, "idle")
    assert run(one) == 0
    require_run(ours, 3)
    assert_same(ours, one)


def test_offloaded_needs_no_optimizer_of_its_own(
    recipe: dict[str, Any], reference: dict[str, Any], tmp_path: Path
) -> None:
    """ZeRO-3 with weights and optimizer in the machine's memory steps with the recipe's AdamW, not DeepSpeed's own."""
    ours = sharded(recipe, 3, "offload")
    require_run(ours, 3, "cpu", TORCH_EXTENSIONS_DIR=str(tmp_path))
    assert_same(ours, reference)
    assert not list(tmp_path.rglob("*adam*"))


@pytest.mark.parametrize("stage", [2, 3])
def test_saves_in_the_bases_precision(recipe: dict[str, Any], stage: int) -> None:
    """In bfloat16 it holds float32 weights in its optimizer; those are what is saved."""
    single = sharded(recipe, stage, "single", run__precision="bf16", optim__updates=3)
    half = sharded(single, stage, "half", run__save_dtype="bf16")
    for ours, dtype in ((single, torch.float32), (half, torch.bfloat16)):
        require_run(ours, stage)
        assert {tensor.dtype for tensor in tensors(ours).values()} == {dtype}
    whole, rounded = tensors(single), tensors(half)
    assert all(torch.equal(rounded[name], tensor.bfloat16()) for name, tensor in whole.items())
    assert any(not torch.equal(rounded[name].float(), tensor) for name, tensor in whole.items())
