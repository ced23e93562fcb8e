"""Adapters: what is trained here loads in transformers with peft, and computes the same there, merged or not."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from peft.utils import set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from finetune.engine.adapter import add_adapter
from finetune.engine.load import load_quantised
from finetune.folders import weights
from finetune.folders.merge import copy_tokenizer, merge_adapter
from finetune.llama.attention import Documents
from finetune.parameter_counts import count_parameters
from finetune.plan import get_config
from finetune.recipe import AdapterSection, ModelSection
from tests.finetune.parallel.same_run import assert_same
from tests.finetune.runs import deepspeed, launch, metrics, run, tensors, variant

IDS = torch.arange(5, 45)


def adapted(recipe: dict[str, Any], kind: str, **changes: object) -> dict[str, Any]:
    return variant(recipe, f"{kind}-adapter", adapter__kind=kind, adapter__rank=4, optim__lr=1e-2, **changes)


def native_logits(folder: Path) -> torch.Tensor:
    model = weights.load_model(folder, dtype=torch.float32)
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


@pytest.mark.parametrize("tied", [False, True])
def test_embedding_and_output_layer_are_trained_whole(
    toy_recipe: dict[str, Any], toy_model: Path, tmp_path: Path, tied: bool
) -> None:
    """On peft's terms: transformers computes with them what our merge does, also where the two share their weights."""
    base, merged = tmp_path / "base", tmp_path / "merged"
    config = dataclasses.replace(get_config(ModelSection(str(toy_model))), tie_word_embeddings=tied)
    weights.save_model(weights.load_model(toy_model).state_dict(), config, base)
    copy_tokenizer([toy_model], base)
    also = ["lm_head"] if tied else ["embed_tokens", "lm_head"]
    whole = adapted(toy_recipe, "lora", model__path=str(base), adapter__also=also)
    assert run(whole) == 0
    folder = Path(whole["run"]["output"]) / "adapter"
    trained = AdapterSection(kind="lora", rank=4, also=tuple(also))
    saved = sum(tensor.numel() for tensor in load_file(folder / "adapter_model.safetensors").values())
    shared = tied * config.vocab_size * config.hidden_size  # peft writes it under both names
    assert saved - shared == count_parameters(config, trained).trained
    peer = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = peer.model.embed_tokens.weight.detach().clone()
    with torch.no_grad():
        theirs = PeftModel.from_pretrained(peer, folder).eval()(IDS[None]).logits[0]
    merge_adapter(base, folder, merged)
    torch.testing.assert_close(native_logits(merged), theirs, rtol=1e-4, atol=1e-4)
    plain = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(plain(IDS[None]).logits[0], theirs, rtol=1e-4, atol=1e-4)
    moved = (plain.model.embed_tokens.weight - before).abs().amax(1)
    assert moved.max() > 1e-2 and (plain.lm_head.weight is plain.model.embed_tokens.weight) == tied


@pytest.fixture
def tied_model(toy_model: Path, tmp_path: Path) -> Path:
    """The toy model with one matrix for embedding and output layer."""
    config = dataclasses.replace(get_config(ModelSection(str(toy_model))), tie_word_embeddings=True)
    weights.save_model(weights.load_model(toy_model).state_dict(), config, tmp_path / "tied")
    copy_tokenizer([toy_model], tmp_path / "tied")
    return tmp_path / "tied"


def whole_layers(recipe: dict[str, Any]) -> dict[str, Any]:
    return adapted(recipe, "lora", adapter__also=["embed_tokens", "lm_head"], model__recompute="full")


@pytest.mark.slow
def test_whole_layers_on_two_processes(toy_recipe: dict[str, Any], tied_model: Path) -> None:
    apart = whole_layers(toy_recipe)
    tied = variant(apart, "tied", model__path=str(tied_model))
    layouts: dict[str, dict[str, object]] = {"ddp": {}, "fsdp2": {"run__sharding": "fsdp2"}}
    two = [
        (variant(one, f"{number}-{name}", run__processes=2, **layout), one)
        for number, one in enumerate((apart, tied))
        for name, layout in layouts.items()
    ]
    assert run(apart) == run(tied) == 0
    result = launch([each for each, _ in two], 2)
    assert result.returncode == 0, result.stderr[-3000:]
    for each, one in two:
        assert_same(each, one, "adapter/adapter_model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_whole_layers_under_deepspeed(toy_recipe: dict[str, Any], tied_model: Path, stage: int) -> None:
    pytest.importorskip("deepspeed")
    one = variant(whole_layers(toy_recipe), "tied", model__path=str(tied_model))
    two = variant(one, "two", run__processes=2, run__sharding=f"zero{stage}")
    assert run(one) == 0
    result = launch([two], 2, **deepspeed(stage))
    assert result.returncode == 0, result.stderr[-3000:]
    assert_same(two, one, "adapter/adapter_model.safetensors")


@pytest.mark.slow
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
    adapter = AdapterSection(kind=kind, rank=4)  # type: ignore[arg-type]
    assert count_parameters(get_config(ModelSection(str(toy_model))), adapter).trained == saved


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lora", "dora"])
@pytest.mark.parametrize("sharding", ["fsdp2", "zero3"])
def test_sharded_adapter_equals_that_of_one_process(toy_recipe: dict[str, Any], sharding: str, kind: str) -> None:
    """With recomputation, the trap of sharded adapters."""
    if sharding == "zero3":
        pytest.importorskip("deepspeed")
    one = adapted(toy_recipe, kind, model__recompute="full")
    two = variant(one, "sharded", run__sharding=sharding, run__processes=2)
    assert run(one) == 0
    result = launch([two], 2, **(deepspeed(3) if sharding == "zero3" else {}))
    assert result.returncode == 0, result.stderr[-3000:]
    truth = tensors(one, "adapter/adapter_model.safetensors")
    for name, tensor in tensors(two, "adapter/adapter_model.safetensors").items():
        torch.testing.assert_close(tensor, truth[name], rtol=0, atol=1e-5)


def test_four_bit_base(toy_recipe: dict[str, Any], toy_model: Path, tmp_path: Path) -> None:
    """QLoRA trains; on transformers' own 4-bit base its adapter gives our logits, and merged it is peft's merge."""
    pytest.importorskip("bitsandbytes")
    base = tmp_path / "base"  # in bfloat16, from which both quantise
    config = get_config(ModelSection(str(toy_model)))
    weights.save_model(weights.load_model(toy_model, dtype=torch.bfloat16).state_dict(), config, base)
    copy_tokenizer([toy_model], base)
    ours = adapted(toy_recipe, "qlora", model__path=str(base), run__precision="bf16")
    assert run(ours) == 0
    losses = [record["loss"] for record in metrics(ours)]
    assert losses[-1] < losses[0]
    folder = Path(ours["run"]["output"]) / "adapter"

    adapter = AdapterSection(kind="qlora", rank=4)
    four_bits = load_quantised(str(base), torch.float32, adapter.targets, "cpu")
    native = add_adapter(four_bits, adapter, str(base), seed=1)
    set_peft_model_state_dict(native, load_file(folder / "adapter_model.safetensors"))
    four_bit = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    place: dict[str, Any] = {"quantization_config": four_bit, "dtype": torch.float32, "device_map": {"": "cpu"}}
    quantised = AutoModelForCausalLM.from_pretrained(base, **place)
    in_single_precision(native, quantised)
    whole = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.no_grad():
        mine = native.eval()(IDS, torch.arange(40), Documents.from_lengths([40]))
        before = quantised(IDS[None]).logits[0]
        theirs = PeftModel.from_pretrained(quantised, folder).eval()(IDS[None]).logits[0]
        unquantised = whole(IDS[None]).logits[0]
        merged = PeftModel.from_pretrained(whole, folder).merge_and_unload()(IDS[None]).logits[0]
    assert (theirs - before).abs().max() > 0.1  # the adapter was trained
    assert (before - unquantised).abs().max() > 1e-3  # and transformers' base is in 4 bits
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)
    single = tmp_path / "single"  # merged in float32, like peft's
    weights.save_model(weights.load_model(base, dtype=torch.float32).state_dict(), config, single)
    (folder / "base.json").unlink()  # to the record, the same weights in another precision are others
    merge_adapter(single, folder, tmp_path / "merged")
    torch.testing.assert_close(native_logits(tmp_path / "merged"), merged, rtol=0, atol=1e-5)


def in_single_precision(*models: torch.nn.Module) -> None:
    """Have 4-bit layers compute in float32, so that rounding hides no difference."""
    from bitsandbytes.nn import Linear4bit

    for layer in (layer for model in models for layer in model.modules() if isinstance(layer, Linear4bit)):
        layer.compute_dtype, layer.compute_type_is_set = torch.float32, True
        layer.support_avx512bf16_for_cpu = False  # rounds to bfloat16, in shapes that this model does not have


def test_four_bit_base_trains_on_after_an_evaluation(toy_recipe: dict[str, Any]) -> None:
    """Looking at the held-out part after every update changes no update."""
    pytest.importorskip("bitsandbytes")
    seldom = adapted(toy_recipe, "qlora", run__precision="bf16", data__validation=0.2, run__evaluate_every=100)
    often = variant(seldom, "often", run__evaluate_every=1)
    assert run(seldom) == run(often) == 0
    truth = tensors(seldom, "adapter/adapter_model.safetensors")
    for name, tensor in tensors(often, "adapter/adapter_model.safetensors").items():
        assert torch.equal(tensor, truth[name]), name
