"""Loss, gradient norm and weights do not depend on how an update is cut over micro-batches and processes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from finetune.folders import weights
from finetune.folders.merge import copy_tokenizer
from finetune.llama.config import LlamaConfig
from tests.finetune.parallel.same_run import assert_same
from tests.finetune.runs import launch, metrics, run, tensors, variant

# Each way of spreading a model over two processes, under one launcher.
SPREAD: dict[str, dict[str, object]] = {
    "ddp": {"run__sharding": "none"},
    "fsdp2": {"run__sharding": "fsdp2"},
    "tensor": {"run__tensor_parallel": 2},
    "stages": {"run__pipeline_parallel": 2},
    "context": {"run__context_parallel": 2},
}
RECOMPUTED = [(name, mode) for name in ("ddp", "fsdp2", "tensor") for mode in ("selective", "full")]
QUICK = [("ddp", "full"), ("fsdp2", "selective"), ("tensor", "selective")]  # of those, in every run of the tests


@pytest.mark.parametrize("micro_tokens", [200, 384, 1024])
def test_micro_batch_and_accumulation(recipe: dict[str, Any], reference: dict[str, Any], micro_tokens: int) -> None:
    """Sequences of 128 tokens, by their documents where that takes fewer passes, by three, and all at once."""
    ours = variant(recipe, f"micro-{micro_tokens}", optim__micro_tokens=micro_tokens)
    assert run(ours) == 0
    assert_same(ours, reference)


def recomputing(recipe: dict[str, Any], name: str, mode: str) -> dict[str, Any]:
    """A run on two processes whose backward pass makes activations again."""
    return variant(recipe, f"{name}-{mode}", run__processes=2, **SPREAD[name], model__recompute=mode)


def test_two_processes(recipe: dict[str, Any], reference: dict[str, Any]) -> None:
    """DistributedDataParallel, fully_shard, tensor parallelism, stages and documents cut over the processes of
    fully_shard under one launcher, and one that is refused.

    Stages compute what one process does, to the bit. Each but them also with some activations made again in the
    backward pass, when weights may be cut.
    """
    ours = [
        variant(recipe, "ddp-1", run__processes=2, run__sharding="none"),
        variant(recipe, "fsdp-3", run__processes=2, run__sharding="fsdp2", optim__micro_tokens=384),
        variant(recipe, "tensor", run__processes=2, run__tensor_parallel=2),
        variant(recipe, "stages", run__processes=2, run__pipeline_parallel=2),
        variant(recipe, "context", run__processes=2, run__context_parallel=2, run__sharding="fsdp2"),
        *(recomputing(recipe, name, mode) for name, mode in QUICK),
    ]
    result = launch([*ours, variant(recipe, "refused", run__processes=1)], 2)
    assert all((Path(each["run"]["output"]) / "summary.json").is_file() for each in ours), result.stderr[-3000:]
    for each in ours:
        assert_same(each, reference)
    assert all(tensor.equal(tensors(reference)[name]) for name, tensor in tensors(ours[3]).items())
    assert result.returncode != 0
    assert _lines(result.stderr, "camelid: error: asked for 1 process(es), but 2 work(s) together") == 1


def _lines(text: str, beginning: str) -> int:
    """How many lines begin so; torchrun repeats an error within lines of its own."""
    return sum(line.startswith(beginning) for line in text.splitlines())


@pytest.mark.slow
def test_two_processes_that_make_activations_again(recipe: dict[str, Any], reference: dict[str, Any]) -> None:
    """The rest of every layout times every way of recomputing."""
    ours = [recomputing(recipe, name, mode) for name, mode in RECOMPUTED if (name, mode) not in QUICK]
    assert len(ours) == 3
    result = launch(ours, 2)
    assert result.returncode == 0, result.stderr[-3000:]
    for each in ours:
        assert_same(each, reference)


@pytest.mark.parametrize("mode", ["selective", "full"])
def test_one_process_that_makes_activations_again(recipe: dict[str, Any], reference: dict[str, Any], mode: str) -> None:
    ours = variant(recipe, f"one-{mode}", model__recompute=mode)
    assert run(ours) == 0
    assert_same(ours, reference)


@pytest.mark.slow
def test_two_processes_with_other_micro_batches(recipe: dict[str, Any], reference: dict[str, Any]) -> None:
    ours = [
        variant(recipe, "ddp-4", run__processes=2, optim__micro_tokens=512),
        variant(recipe, "fsdp-1", run__processes=2, run__sharding="fsdp2"),
    ]
    result = launch(ours, 2)
    assert result.returncode == 0, result.stderr[-3000:]
    for each in ours:
        assert_same(each, reference)


@pytest.fixture(scope="module")
def descendants(recipe: dict[str, Any], toy_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """One-process runs of models that have what LLaMA has not: norms of heads, biases, windows, unturned layers."""
    kinds: list[dict[str, Any]] = [
        {"model_type": "qwen3", "attention_bias": True, "sliding_window": 9},
        {"model_type": "smollm3", "attention_bias": True, "mlp_bias": True, "no_rope_layers": (1, 0)},
    ]
    recipes = []
    for kind in kinds:
        folder = tmp_path_factory.mktemp("descendants") / kind["model_type"]
        config = replace(LlamaConfig.from_folder(toy_model), **kind)
        model = weights.init_model(config, seed=0)
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(1))
        weights.save_model(model.state_dict(), config, folder)
        copy_tokenizer([toy_model], folder)
        recipes.append(variant(recipe, f"one-{folder.name}", model__path=str(folder), optim__updates=4))
        assert run(recipes[-1]) == 0
    return recipes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tensor", "fsdp2"])
def test_descendants_in_two_processes(descendants: list[dict[str, Any]], name: str) -> None:
    """Every head has its part in the gradient of a norm that all share, and a whole bias counts once in its norm."""
    names = [Path(one["run"]["output"]).name for one in descendants]
    two = [
        variant(one, f"{each}-{name}", run__processes=2, **SPREAD[name])
        for one, each in zip(descendants, names, strict=True)
    ]
    result = launch(two, 2)
    assert result.returncode == 0, result.stderr[-3000:]
    for ours, one in zip(two, descendants, strict=True):
        assert_same(ours, one)


@pytest.mark.slow
def test_tensor_parallelism_within_fully_shard(recipe: dict[str, Any], reference: dict[str, Any]) -> None:
    """Four processes, two by two."""
    ours = variant(recipe, "grid", run__processes=4, run__sharding="fsdp2", run__tensor_parallel=2)
    result = launch([ours], 4)
    assert result.returncode == 0, result.stderr[-3000:]
    assert_same(ours, reference)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_adapters_in_every_layout(recipe: dict[str, Any], kind: str) -> None:
    """Also with activations made again, the trap of frozen weights."""
    one = variant(recipe, f"one-{kind}", adapter__kind=kind, adapter__rank=4, optim__lr=1e-2, optim__updates=8)
    layouts = [(name, mode) for name in ("ddp", "fsdp2") for mode in ("none", "selective", "full")]
    two = [
        variant(one, f"{kind}-{name}-{mode}", run__processes=2, **SPREAD[name], model__recompute=mode)
        for name, mode in layouts
    ]
    assert run(one) == 0
    result = launch(two, 2)
    assert result.returncode == 0, result.stderr[-3000:]
    for each in two:
        assert_same(each, one, "adapter/adapter_model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "bf16-pure"])
def test_half_precision_in_every_layout(recipe: dict[str, Any], precision: str) -> None:
    """Where matrices are cut, bfloat16 rounds differently: losses are near, not equal. Whole copies are equal."""
    one = variant(recipe, f"one-{precision}", run__precision=precision, optim__updates=12)
    layouts = [(name, mode) for name in SPREAD for mode in ("none", "selective", "full")]
    two = [
        variant(one, f"{precision}-{name}-{mode}", run__processes=2, **SPREAD[name], model__recompute=mode)
        for name, mode in layouts
    ]
    assert run(one) == 0
    result = launch(two, 2)
    assert result.returncode == 0, result.stderr[-3000:]
    for each, (name, _) in zip(two, layouts, strict=True):
        for mine, theirs in zip(metrics(each), metrics(one), strict=True):
            assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-2), each["run"]["output"]
        if (name, precision) == ("ddp", "bf16-pure"):
            assert_same(each, one)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"run__processes": 2}, "asked for 2 process(es), but 1 work(s) together"),
        ({"run__sharding": "zero3"}, "run.sharding = 'zero3', but the launcher set up 'none'"),
        ({"run__sharding": "fsdp2"}, "fsdp2 needs more than one process"),
    ],
)
def test_a_launch_that_is_not_what_was_asked_is_refused(
    recipe: dict[str, Any], changes: dict[str, Any], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(variant(recipe, "refused", **changes)) == 2
    error = capfd.readouterr().err
    assert says in error
    assert error.count("camelid: error") == 1
