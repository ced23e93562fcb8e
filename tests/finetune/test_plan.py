"""The plan against what is really allocated, and its text."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from camelid.app.cli import main
from finetune.engine.adapter import add_adapter
from finetune.engine.optimizer import make_optimizer
from finetune.folders import weights
from finetune.layout import Layout
from finetune.llama import recompute as recompute_module
from finetune.llama.architectures import get_architecture
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama
from finetune.llama.recompute import Recomputation, Recomputations
from finetune.memory import (
    activation_bytes,
    adapter_activation_bytes,
    estimate_host_memory,
    estimate_memory,
    estimate_stage_memory,
)
from finetune.objectives.next_token import token_loss
from finetune.parallel.pipeline import cut_to_stage
from finetune.parameter_counts import linear_shapes
from finetune.recipe import (
    AdapterSection,
    DataSection,
    DataSource,
    ModelSection,
    OptimSection,
    RunSection,
    SftModelSection,
    SftOptimSection,
    SftRecipe,
    SftRunSection,
)
from tests.finetune.runs import run, variant, write

CONFIG = LlamaConfig(300, 64, 176, 4, 4, 2)
TOKENS = 256


def saved_bytes(
    config: LlamaConfig, recompute: str, precision: str, adapter: AdapterSection | None = None,
    autocast: bool = True, tokens: int = TOKENS,
) -> int:  # fmt: skip
    """Bytes of all tensors that autograd keeps for the backward pass, weights not counted."""
    half = precision == "bf16-pure" or (adapter is not None and precision == "bf16")
    unwrapped = weights.init_model(config, 0, torch.bfloat16 if half else torch.float32)
    unwrapped.set_recompute(recompute)  # type: ignore[arg-type]
    model = unwrapped if adapter is None else add_adapter(unwrapped, adapter, "base", 0)
    if not autocast:  # as fsdp2 and DeepSpeed do, which cast every matrix
        model = model.bfloat16()
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    class Counted(Recomputations):
        """Inner hooks hide what they save from outer ones; what a tensor is made again from is kept, too."""

        def add(self, *recipe: Any) -> None:
            super().add(*recipe)
            for each in self._known[-1][1].inputs:
                if not isinstance(each, Recomputation):
                    keep(each)

        def _pack(self, tensor: torch.Tensor) -> Any:
            packed = super()._pack(tensor)
            return keep(packed) if isinstance(packed, torch.Tensor) else packed

    ids = torch.randint(0, 300, (tokens,))
    some = torch.arange(tokens // 2) % 300
    head = partial(token_loss, positions_N=some, targets_N=some, weights_N=torch.ones(len(some)))
    with (
        patch.object(recompute_module, "Recomputations", Counted),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16" and autocast),
    ):
        model(ids, torch.arange(tokens), Documents.from_lengths([tokens]), head=head)
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16-pure"])
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("model_type", ["llama", "qwen3"])
def test_activations_of_a_layer(model_type: str, recompute: str, precision: str) -> None:
    """What two more layers keep, but for autocast's copies of their weights."""
    config = replace(CONFIG, model_type=model_type)
    deeper = replace(config, num_hidden_layers=6)
    more = saved_bytes(deeper, recompute, precision) - saved_bytes(config, recompute, precision)
    layer = (deeper.num_parameters() - config.num_parameters()) // 2 - 2 * CONFIG.hidden_size
    copies = 2 * 2 * layer if precision == "bf16" and recompute != "full" else 0
    stream, compute = {"fp32": (4, 4), "bf16": (4, 2), "bf16-pure": (2, 2)}[precision]
    planned, _ = activation_bytes(config, recompute, stream, compute)
    assert planned * TOKENS * 2 == pytest.approx(more - copies, rel=0.02)


PRECISIONS = [("fp32", "none"), ("bf16", "none"), ("bf16-pure", "none"), ("bf16", "fsdp2")]


@pytest.mark.parametrize(
    ("kind", "recompute", "dropout"),
    [("lora", "none", 0.0), ("lora", "none", 0.1), ("lora", "selective", 0.0), ("dora", "none", 0.0),
     ("dora", "selective", 0.1)],
)  # fmt: skip
@pytest.mark.parametrize(("precision", "sharding"), PRECISIONS)
def test_activations_of_adapters(precision: str, sharding: str, kind: Any, recompute: str, dropout: float) -> None:
    """What two more layers keep with an adapter on every matrix."""
    adapter, tokens = AdapterSection(kind=kind, rank=4, dropout=dropout), 1024
    deeper = LlamaConfig(**{**CONFIG.__dict__, "num_hidden_layers": 6})
    autocast = sharding == "none"
    more, less = (saved_bytes(config, recompute, precision, adapter, autocast, tokens) for config in (deeper, CONFIG))
    size = 4 if precision == "fp32" else 2
    kept = activation_bytes(CONFIG, recompute, size, size)[0]
    planned = kept + adapter_activation_bytes(CONFIG, adapter, recompute, precision, sharding)
    if dropout:  # on a CPU its mask is as wide as the numbers it hides
        planned += sum(inputs for inputs, _ in linear_shapes(CONFIG).values()) * (3 if autocast else 1)
    if kind == "dora" and dropout and precision != "fp32":  # matrices, in the part of the plan that holds copies
        matrices = sum(inputs * outputs for inputs, outputs in linear_shapes(CONFIG).values())
        planned += matrices * (4 if precision == "bf16-pure" else 2) / tokens
    assert planned == pytest.approx((more - less) / 2 / tokens, rel=0.08)


@pytest.mark.parametrize(
    ("precision", "adapter", "micro_batch", "measured"),
    [("bf16-pure", AdapterSection(), 1, 69.61), ("bf16", AdapterSection(kind="lora", rank=16), 2, 25.42)],
)
def test_a_7b_takes_what_an_h100_measured(
    precision: Any, adapter: AdapterSection, micro_batch: int, measured: float
) -> None:
    """GiB of sequences of 2,048 tokens in compiled layers (`max_memory_allocated`, benchmarks/train_gpu.py)."""
    parts = estimate_memory(
        get_architecture("llama-7b"), SftModelSection("m", recompute="selective"),
        OptimSection(lr=1.0, micro_batch=micro_batch), adapter, RunSection("r", precision=precision), 2048, Layout(),
        compiled=True,
    )  # fmt: skip
    assert sum(parts.values()) / 2**30 == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize(
    ("precision", "adapter"),
    [
        ("fp32", AdapterSection()),
        ("bf16-pure", AdapterSection()),
        ("bf16", AdapterSection(kind="lora")),
        ("bf16", AdapterSection(kind="dora")),
    ],
)
def test_weights_gradients_and_optimizer(precision: Any, adapter: AdapterSection) -> None:
    pure, frozen = precision == "bf16-pure", adapter.kind != "none"
    unwrapped = weights.init_model(CONFIG, 0, torch.bfloat16 if pure or frozen else torch.float32)
    model = add_adapter(unwrapped, adapter, "base", 0) if frozen else unwrapped
    optim = OptimSection(lr=1e-3, global_batch=2)
    optimizer = make_optimizer(model.parameters(), optim, pure)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    state = sum(t.nbytes for values in optimizer.state.values() for t in values.values() if t.ndim)
    parts = estimate_memory(
        CONFIG, ModelSection("base"), optim, adapter, RunSection("run", precision=precision), TOKENS, Layout()
    )
    assert parts["weights"] == sum(parameter.nbytes for parameter in model.parameters())
    assert parts["gradients"] == sum(4 * parameter.numel() for parameter in trained)  # in float32 even of bfloat16
    assert parts["optimizer"] == state


def test_sharding_cuts_what_it_says() -> None:
    config = get_architecture("llama-7b")
    whole = estimate_memory(
        config,
        ModelSection("m"),
        OptimSection(lr=1e-5),
        AdapterSection(),
        RunSection("r", precision="fp32"),
        2048,
        Layout(8),
    )
    cut = {"zero2": {"gradients", "optimizer"}, "zero3": {"weights", "gradients", "optimizer"}}
    cut["fsdp2"] = cut["zero3"]
    for sharding, names in cut.items():
        parts = estimate_memory(
            config,
            ModelSection("m"),
            OptimSection(lr=1e-5),
            AdapterSection(),
            RunSection("r", precision="fp32"),
            2048,
            Layout(8, sharding=sharding),  # type: ignore[arg-type]
        )
        for name in ("weights", "gradients", "optimizer"):
            kept = 12 / 8 if name == "optimizer" and sharding.startswith("zero") else 1  # DeepSpeed's own float32 copy
            assert parts[name] == pytest.approx(kept * whole[name] / (8 if name in names else 1))


def test_what_is_read_whole_is_planned_so() -> None:
    """A tied matrix that an adapter trains is only kept one if each process reads all of the model."""
    tied = replace(get_architecture("llama-3.2-1b"), tie_word_embeddings=True)
    for also, whole in (((), False), (("embed_tokens",), True)):
        adapter, run_section = AdapterSection(kind="lora", also=also), RunSection("r", precision="bf16")
        for layout in (Layout(8, sharding="fsdp2"), Layout(8, sharding="zero3")):
            parts = estimate_memory(tied, ModelSection("m"), OptimSection(lr=1.0), adapter, run_section, 64, layout)
            read = sum(estimate_host_memory(tied, adapter, run_section, parts, layout).values())
            assert (read >= 2 * tied.num_parameters()) == whole


def test_tensor_parallelism_cuts_layers_alone() -> None:
    """Embedding and output layer are whole on every process, in all layouts with it."""
    config, optim = get_architecture("llama-3-8b"), OptimSection(lr=1.0)
    vocabulary = 2 * config.vocab_size * config.hidden_size
    layers = config.num_parameters() - vocabulary
    for layout, data in ((Layout(4), 1), (Layout(8, sharding="fsdp2"), 2)):
        section = RunSection("r", precision="fp32", tensor_parallel=4)
        parts = estimate_memory(config, ModelSection("m"), optim, AdapterSection(), section, 64, layout)
        assert parts["weights"] == pytest.approx(4 * (layers / 4 + vocabulary) / data)
        assert parts["optimizer"] == pytest.approx(8 * (layers / 4 + vocabulary) / data)


@pytest.mark.parametrize("sharding", ["none", "fsdp2"])
def test_stages_hold_their_part(sharding: Any) -> None:
    """Weights of each stage are those of the module; the first keeps most micro-batches, the last makes the logits."""
    config = replace(CONFIG, num_hidden_layers=5)
    recipe = SftRecipe(
        SftModelSection("m"),
        DataSection((DataSource("d"),), "alpaca", max_length=TOKENS),
        SftOptimSection(lr=1.0),
        SftRunSection("r", precision="fp32", pipeline_parallel=3),
    )
    layout = Layout(6 if sharding == "fsdp2" else 3, sharding=sharding)
    parts = [estimate_stage_memory(config, recipe, layout, stage, 8) for stage in range(3)]
    kept, working = activation_bytes(config, "none", 4, 4)
    for stage, part in enumerate(parts):
        with torch.device("meta"):
            model = Llama(config)
        cut_to_stage(model, stage, 3)
        held = sum(4 * weight.numel() for weight in model.parameters())
        assert part["weights"] == pytest.approx(held / (2 if sharding == "fsdp2" else 1))
        assert part["gradients"] == pytest.approx(held * 3 / 2 if sharding == "fsdp2" else held)
        assert (part["a layer at work, the loss, or sums"] > TOKENS * working) == (stage == 2)
    waiting = [3 * (2 * kept), 2 * (2 * kept), kept]  # micro-batches times layers: 2, 2 and 1
    passing = [(waits + 3) * 4 * config.hidden_size for waits in (2, 1, 0)]
    assert [part["activations"] for part in parts] == [
        TOKENS * sum(each) for each in zip(waiting, passing, strict=True)
    ]
    whole = estimate_memory(config, recipe.model, recipe.optim, recipe.adapter, recipe.run, TOKENS, Layout(1))
    if sharding == "none":
        assert sum(part["weights"] for part in parts) == pytest.approx(whole["weights"])


def test_plan_says_what_then_happens(toy_recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Updates, sequences and share of trained tokens are those that the run announces."""
    ours = variant(toy_recipe, "planned", data__validation=0.1)
    assert main(["finetune", str(write(ours)), "--plan", "--price", "2"]) == 0
    plan = capsys.readouterr().out
    assert not (Path(ours["run"]["output"]) / "recipe.yaml").exists()  # nothing has begun
    assert run(ours) == 0
    summary = (Path(ours["run"]["output"]) / "metrics.jsonl").read_text().count("\n")
    assert f"updates      {summary:,}," in plan
    assert "USD at 2 USD an hour each" in plan and "% trained" in plan and "full\n" in plan


def test_unknown_model_is_one_line(toy_recipe: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    ours = variant(toy_recipe, "nowhere", model__path="models/nowhere")
    assert main(["finetune", str(write(ours)), "--plan"]) == 2
    assert "no such folder, and no published model of that name" in capsys.readouterr().err
