"""Adapters: what is trained here loads in transformers with peft, and computes the same there, merged or not."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from finetune.llama import weights
from finetune.llama.attention import Documents
from finetune.llama.merge import merge_adapter
from finetune.plan import get_config, trained_parameters
from finetune.recipe import Adapter, Model
from tests.finetune.runs import deepspeed, launch, metrics, run, tensors, variant

IDS = torch.arange(5, 45)


def adapted(recipe: dict[str, Any], kind: str, **changes: object) -> dict[str, Any]:
    return variant(recipe, f"{kind}-adapter", adapter__kind=kind, adapter__rank=4, optim__lr=1e-2, **changes)


def native_logits(folder: Path) -> torch.Tensor:
    model = weights.load(folder, dtype=torch.float32)
    with torch.no_grad():
        logits: torch.Tensor = model(IDS, torch.arange(40), Documents.from_lengths([40]))
    return logits


@pytest.mark.parametrize(
    ("kind", "recompute"), [("lora", "none"), ("lora", "full"), ("dora", "selective"), ("rslora", "full")]
)
def test_adapter_loads_in_peft_and_merges(
    toy_recipe: dict[str, Any], toy_model: Path, tmp_path: Path, kind: str, recompute: str
) -> None:
    ours = adapted(toy_recipe, kind, model__recompute=recompute, adapter__dropout=0.1)
    assert run(ours) == 0
    losses = [record["loss"] for record in metrics(ours)]
    assert losses[-1] < losses[0]
    folder = Path(ours["run"]["output"]) / "adapter"
    base = AutoModelForCausalLM.from_pretrained(toy_model, dtype=torch.float32)
    with torch.no_grad():
        before = base(IDS[None]).logits[0]
        model = PeftModel.from_pretrained(base, folder).eval()
        with_adapter = model(IDS[None]).logits[0]
        merged = model.merge_and_unload()(IDS[None]).logits[0]
    assert (with_adapter - before).abs().max() > 1e-3  # it was trained
    torch.testing.assert_close(merged, with_adapter, rtol=1e-4, atol=1e-4)
    merge_adapter(toy_model, folder, tmp_path / "merged")
    torch.testing.assert_close(native_logits(tmp_path / "merged"), with_adapter, rtol=1e-4, atol=1e-4)


def test_recomputation_changes_nothing(toy_recipe: dict[str, Any]) -> None:
    """The trap: with frozen weights a checkpointed layer's input needs no gradient, and the adapter gets none."""
    results = []
    for recompute in ("none", "selective", "full"):
        ours = variant(adapted(toy_recipe, "lora"), recompute, model__recompute=recompute)
        assert run(ours) == 0
        results.append(tensors(ours, "adapter/adapter_model.safetensors"))
    for other in results[1:]:
        for name, tensor in results[0].items():
            torch.testing.assert_close(other[name], tensor, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_plan_counts_trained_weights(toy_recipe: dict[str, Any], toy_model: Path, kind: str) -> None:
    ours = adapted(toy_recipe, kind)
    assert run(ours) == 0
    saved = sum(tensor.numel() for tensor in tensors(ours, "adapter/adapter_model.safetensors").values())
    adapter = Adapter(kind=kind, rank=4)  # type: ignore[arg-type]
    assert trained_parameters(get_config(Model(str(toy_model))), adapter) == saved


@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["fsdp2", "zero3"])
def test_sharded_adapter_equals_that_of_one_process(toy_recipe: dict[str, Any], sharding: str) -> None:
    """With recomputation, the trap of sharded adapters."""
    if sharding == "zero3":
        pytest.importorskip("deepspeed")
    one = adapted(toy_recipe, "lora", model__recompute="full")
    two = variant(one, "sharded", run__sharding=sharding, run__processes=2)
    assert run(one) == 0
    result = launch([two], 2, **(deepspeed(3) if sharding == "zero3" else {}))
    assert result.returncode == 0, result.stderr[-3000:]
    truth = tensors(one, "adapter/adapter_model.safetensors")
    for name, tensor in tensors(two, "adapter/adapter_model.safetensors").items():
        torch.testing.assert_close(tensor, truth[name], rtol=0, atol=1e-5)


def test_four_bit_base(toy_recipe: dict[str, Any], toy_model: Path) -> None:
    """QLoRA trains, and its adapter fits the base as transformers loads it."""
    pytest.importorskip("bitsandbytes")
    ours = adapted(toy_recipe, "qlora", run__precision="bf16")
    assert run(ours) == 0
    losses = [record["loss"] for record in metrics(ours)]
    assert losses[-1] < losses[0]
    base = AutoModelForCausalLM.from_pretrained(toy_model, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, Path(ours["run"]["output"]) / "adapter").eval()
    with torch.no_grad():
        with_adapter = model(IDS[None]).logits[0]
        merged = model.merge_and_unload()(IDS[None]).logits[0]
    torch.testing.assert_close(merged, with_adapter, rtol=1e-4, atol=1e-4)
