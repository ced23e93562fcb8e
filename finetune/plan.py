"""What a run will need, before anything is downloaded or allocated: memory by part, updates, time and money."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from camelid.errors import UserError
from conversations.tokens.open_tokenizer import open_tokenizer
from finetune.data.batches import Plan
from finetune.data.token_data import load_tokens
from finetune.folders.vocabulary import require_rows
from finetune.layout import Layout, check
from finetune.llama.architectures import ARCHITECTURES
from finetune.llama.config import LlamaConfig
from finetune.objectives.next_token import CHUNK
from finetune.optimizers.table import OPTIMIZERS
from finetune.parallel.hardware import ACCELERATORS, flops_per_token
from finetune.recipe import AdapterSection, ModelSection, OptimSection, Recipe, RunSection

# Share of the peak that is reckoned with; LLaMA-65B reached 0.47 on A100s (Touvron et al. 2023a, section 2.4).
MFU = 0.4
# A 4-bit weight, its share of the 8-bit constants and of theirs (Dettmers et al. 2023, section 3).
NF4_BYTES = 0.5 + 8 / 64 / 8 + 32 / 64 / 256 / 8
GB = 1e9


@dataclass(frozen=True)
class TokenCounts:
    """What the data amounts to after splitting and packing.

    Attributes:
        documents, tokens: of the training part.
        trained: share of the tokens with a loss.
        rows: sequences of a pass.
        fill: share of the rows' room that is filled.
        mean_length: tokens of the document a token is in, on average over tokens.
        updates: of the whole run.
        seen: tokens of the whole run.
    """

    documents: int
    tokens: int
    trained: float
    rows: int
    fill: float
    mean_length: float
    updates: int
    seen: float


def get_config(model: ModelSection) -> LlamaConfig:
    """The shape of the model: its folder's, or that of the published model of the folder's name.

    Raises:
        UserError: there is neither.
    """
    if (Path(model.path) / "config.json").is_file():
        return LlamaConfig.from_folder(model.path)
    name = Path(model.path).name
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    raise UserError(
        f"model.path = {model.path!r}: no such folder, and no published model of that name; "
        f"known: {', '.join(ARCHITECTURES)}"
    )


def trained_parameters(config: LlamaConfig, adapter: AdapterSection) -> int:
    """Number of weights that are trained."""
    if adapter.kind == "none":
        return config.num_parameters()
    heads, kv = config.num_attention_heads * config.head_size, config.kv_heads * config.head_size
    width, inner = config.hidden_size, config.intermediate_size
    shapes = {
        "q_proj": (width, heads),
        "k_proj": (width, kv),
        "v_proj": (width, kv),
        "o_proj": (heads, width),
        "gate_proj": (width, inner),
        "up_proj": (width, inner),
        "down_proj": (inner, width),
    }
    lengths = adapter.kind == "dora"  # DoRA also trains the length of every output
    each = sum(adapter.rank * sum(shapes[name]) + lengths * shapes[name][1] for name in adapter.targets)
    whole = 1 if adapter.also and config.tie_word_embeddings else len(set(adapter.also))
    return each * config.num_hidden_layers + whole * config.vocab_size * config.hidden_size


def activation_bytes(config: LlamaConfig, recompute: str, stream: int, compute: int) -> tuple[float, float]:
    """Bytes a token that a layer keeps for the backward pass, and that it needs while it is worked on.

    Args:
        config: the model.
        recompute: see `ModelSection`.
        stream: bytes a number of the residual stream.
        compute: bytes a number inside the layers.
    """
    width, inner = config.hidden_size, config.intermediate_size
    heads, kv = config.num_attention_heads * config.head_size, config.kv_heads * config.head_size
    small = 8 + 4 * config.num_attention_heads  # the norms' scales, and the attention's sums
    if config.family.head_norms:  # what queries and keys were before, and a scale a head
        small += compute * (heads + kv) + 4 * (config.num_attention_heads + config.kv_heads)
    whole = 2 * stream * width + compute * (2 * width + 2 * heads + 2 * kv + 3 * inner) + small
    lean = stream * width + compute * (width + 2 * heads + 2 * kv + 2 * inner) + small
    working = 2 * stream * width + compute * 2 * inner  # gradients on their way through one layer
    kept = {"none": whole, "selective": lean, "full": stream * width}[recompute]
    return kept, working + (whole if recompute == "full" else whole - lean if recompute == "selective" else 0)


def estimate_memory(
    config: LlamaConfig,
    model: ModelSection,
    optim: OptimSection,
    adapter: AdapterSection,
    run: RunSection,
    capacity: int,
    sharding: str,
    processes: int,
) -> dict[str, float]:
    """Bytes on one process, by part.

    Args:
        config: the model.
        model, optim, adapter, run: sections of the recipe.
        capacity: tokens of a sequence.
        sharding: how weights are spread over the processes.
        processes: of the run.
    """
    total, trained = config.num_parameters(), trained_parameters(config, adapter)
    frozen = adapter.kind != "none"
    pure, half = run.precision == "bf16-pure", run.precision != "fp32"
    deepspeed = sharding.startswith("zero")
    uncut, cut = 1 / run.tensor_parallel, 1 / processes
    weights_cut = cut if sharding in ("fsdp2", "zero3") else uncut
    state_cut = cut if sharding != "none" else uncut
    gradients_cut = cut if sharding in ("fsdp2", "zero2", "zero3") else uncut
    stored = 2 if half and (pure or frozen or deepspeed) else 4
    linear = total - config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    weights = float(total * stored) + (trained * (2 if pure else 4) if frozen else 0)
    if adapter.kind == "qlora":
        weights += linear * (NF4_BYTES - stored)
    state = OPTIMIZERS[optim.optimizer].stepping(pure).state_bytes
    state += 4.0 if deepspeed and half else 0.0  # DeepSpeed's float32 copy
    largest = max(config.vocab_size, config.intermediate_size) * config.hidden_size
    wide = not (stored == 2 and not frozen) or sharding == "none"  # bfloat16 weights: see `WideGradients`
    one_pass = optim.in_backward and optim.global_batch <= optim.micro_batch
    gradients = (largest if one_pass else trained) * (4.0 if wide else 2.0)
    stream = 4 if stored == 4 and sharding != "fsdp2" else 2 if half else 4
    tokens = optim.micro_batch * capacity
    kept, working = activation_bytes(config, model.recompute, stream, 2 if half else 4)
    layer = linear / config.num_hidden_layers * (2 if half else 4)
    casts = 0.0
    if sharding in ("fsdp2", "zero3"):
        casts = 2 * layer  # the layer at work and the next one, gathered
    elif half and stored == 4:
        casts = 2.0 * (
            linear + config.vocab_size * config.hidden_size
        )  # autocast's copies live until the backward pass
    logits = min(CHUNK, tokens) * config.vocab_size * 8.0
    if not frozen:
        logits += config.vocab_size * config.hidden_size * (4.0 + 2.0)  # its gradient, and a product on its way there
    return {
        "weights": weights * weights_cut,
        "bfloat16 copies or gathered layers": casts,
        "gradients": gradients * gradients_cut,
        "optimizer": trained * state * state_cut,
        "activations": tokens * (kept * config.num_hidden_layers + working + 3 * stream * config.hidden_size),
        "logits": logits,
    }


def count_tokens(recipe: Recipe) -> TokenCounts | None:
    """Tokenise (into the run's cache) and pack; None if the data or the tokenizer is not here yet."""
    data = recipe.data
    here = all(Path(source.path).exists() for source in data.train)
    if not here or not Path(recipe.model.path).is_dir():
        return None
    tokenizer = open_tokenizer(recipe.model.path, f"model.path = {recipe.model.path!r}")
    tokens = load_tokens(Path(recipe.run.output) / "tokens", data, tokenizer, recipe.run.seed)
    require_rows(tokens.ids, tokenizer, recipe.model.path)
    plan = Plan(tokens, data, recipe.optim, recipe.run.seed)
    lengths = tokens.lengths[tokens.training]
    total = int(lengths.sum())
    return TokenCounts(
        documents=lengths.size,
        tokens=total,
        trained=tokens.trained_tokens(tokens.training) / total,
        rows=plan.rows_per_epoch,
        fill=total / (plan.rows_per_epoch * data.max_length),
        mean_length=float(np.average(lengths, weights=lengths)),
        updates=plan.updates,
        seen=total * plan.updates / plan.updates_per_epoch,
    )


def plan_report(recipe: Recipe, layout: Layout, gpu: str, price: float | None) -> str:
    """The whole plan as text.

    Args:
        recipe: the run.
        layout: how it will be spread over processes.
        gpu: name of one of `ACCELERATORS`.
        price: of an hour of one GPU, USD; None if it is not known.

    Raises:
        UserError: such a run would be refused, or the GPU or the model is not known.
    """
    if gpu not in ACCELERATORS:
        raise UserError(f"--gpu {gpu}: not known; known: {', '.join(ACCELERATORS)}")
    kind, optim, run = ACCELERATORS[gpu], recipe.optim, recipe.run
    config = get_config(recipe.model)
    check(recipe, layout, config)
    processes, sharding = layout.processes, layout.sharding
    ranks = processes // run.tensor_parallel
    parts = estimate_memory(
        config, recipe.model, optim, recipe.adapter, run, recipe.data.max_length, sharding, processes
    )
    total = sum(parts.values())
    trained = trained_parameters(config, recipe.adapter)
    accumulation = math.ceil(optim.global_batch / ranks / optim.micro_batch)
    lines = [
        f"model        {recipe.model.path}: {config.num_parameters():,} parameters, {trained:,} trained "
        f"({trained / config.num_parameters():.2%})",
        f"layout       {processes} process(es), sharding {sharding}, tensor parallel {run.tensor_parallel}; an update "
        f"is {optim.global_batch} sequences: {ranks} ranks x {accumulation} micro-batches of {optim.micro_batch}",
        f"memory       {total / GB:.1f} GB a process, in {run.precision}, recompute {recipe.model.recompute}; "
        f"{gpu} has {kind.memory / GB:.0f} GB" + (": DOES NOT FIT" if total > kind.memory else ""),
        *(f"  {part:35}{size / GB:8.2f} GB" for part, size in parts.items()),
    ]
    tokens = count_tokens(recipe)
    if tokens is None:
        missing = [source.path for source in recipe.data.train if not Path(source.path).exists()]
        lines.append(f"data         not here yet ({', '.join(missing) or recipe.model.path}); a full update is at most")
        seen, share, length = float(optim.global_batch * recipe.data.max_length), 1.0, float(recipe.data.max_length)
    else:
        lines += [
            f"data         {tokens.documents:,} documents, {tokens.tokens:,} tokens, {tokens.trained:.1%} trained",
            f"a pass       {tokens.rows:,} sequences of {recipe.data.max_length}, {tokens.fill:.2%} full",
            f"updates      {tokens.updates:,}, {tokens.seen:,.0f} tokens; all of it takes about",
        ]
        seen, share, length = tokens.seen, tokens.trained, tokens.mean_length
    work = seen * flops_per_token(config, length, share, recipe.adapter.kind != "none")
    hours = work / (kind.flops * MFU * processes) / 3600
    cost = f", {hours * processes * price:,.2f} USD at {price:g} USD an hour each" if price is not None else ""
    lines.append(
        f"time         {_duration(hours)} on {processes} x {gpu} at {MFU:.0%} of {kind.flops / 1e12:.0f} TFLOP/s"
        f" ({hours * processes:,.2f} GPU hours){cost}"
    )
    return "\n".join(lines)


def _duration(hours: float) -> str:
    return (
        f"{hours:,.1f} h" if hours >= 1 else f"{hours * 60:,.1f} min" if hours >= 1 / 60 else f"{hours * 3600:,.1f} s"
    )
