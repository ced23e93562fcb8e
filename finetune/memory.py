"""What a run needs in memory, by part: on each process, and of each machine."""

from dataclasses import replace

from finetune.layout import Layout
from finetune.llama.config import LlamaConfig
from finetune.objectives.next_token import CHUNK
from finetune.optimizers.table import OPTIMIZERS
from finetune.parallel.pipeline import stage_layers
from finetune.recipe import (
    AdapterSection,
    ModelSection,
    OptimSection,
    Recipe,
    RunSection,
    pipeline_stages,
    steps_in_backward,
)

# A 4-bit weight, its share of the 8-bit constants and of theirs (Dettmers et al. 2023, section 3).
NF4_BYTES = 0.5 + 8 / 64 / 8 + 32 / 64 / 256 / 8


def linear_shapes(config: LlamaConfig) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of a layer's matrices."""
    heads, kv = config.num_attention_heads * config.head_size, config.kv_heads * config.head_size
    width, inner = config.hidden_size, config.intermediate_size
    return {
        "q_proj": (width, heads),
        "k_proj": (width, kv),
        "v_proj": (width, kv),
        "o_proj": (heads, width),
        "gate_proj": (width, inner),
        "up_proj": (width, inner),
        "down_proj": (inner, width),
    }


def trained_parameters(config: LlamaConfig, adapter: AdapterSection) -> int:
    """Number of weights that are trained."""
    if adapter.kind == "none":
        return config.num_parameters()
    shapes = linear_shapes(config)
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


def adapter_activation_bytes(
    config: LlamaConfig, adapter: AdapterSection, recompute: str, precision: str, sharding: str
) -> float:
    """Bytes a token that a layer keeps more with adapters than `activation_bytes` says of one that is trained whole.

    As PEFT computes: a frozen matrix keeps no input, its adapter does; where that is in another precision than the
    layer, each adapter keeps a copy. Dropout keeps a mask of a byte and what it let through. DoRA keeps the base's
    output and the adapter's, whose lengths it changes.
    """
    if adapter.kind == "none":
        return 0.0
    compute = 4 if precision == "fp32" else 2
    own = _adapter_precision(precision, sharding)
    copied = precision == "bf16-pure" or (precision == "bf16" and sharding == "none" and adapter.kind != "qlora")
    total = 0.0
    if recompute == "none":
        width, inner = config.hidden_size, config.intermediate_size
        shared = ((width, ("q_proj", "k_proj", "v_proj")), (width, ("gate_proj", "up_proj")), (inner, ("down_proj",)))
        for size, names in shared:
            if copied or adapter.dropout or not set(names) & set(adapter.targets):
                total -= size * compute
    for inputs, outputs in (linear_shapes(config)[name] for name in adapter.targets):
        total += inputs * (own + 1 if adapter.dropout else own if copied else 0) + adapter.rank * own
        base = own if adapter.dropout else compute  # of what was dropped from, the base is computed anew
        total += outputs * (base + own) if adapter.kind == "dora" else 0
    return total


def _adapter_precision(precision: str, sharding: str) -> int:
    """Bytes of a number that an adapter computes with; DeepSpeed and fsdp2 cast its matrices to the model's."""
    if precision == "bf16-pure" and sharding in ("none", "fsdp2"):
        return 4
    return 4 if precision == "fp32" else 2


def estimate_memory(
    config: LlamaConfig,
    model: ModelSection,
    optim: OptimSection,
    adapter: AdapterSection,
    run: RunSection,
    capacity: int,
    layout: Layout,
) -> dict[str, float]:
    """Bytes on one process, by part, wherever they lie (`estimate_host_memory` says which lie in the machine's).

    Args:
        config: the model.
        model, optim, adapter, run: sections of the recipe.
        capacity: tokens of a sequence.
        layout: how it is spread over processes.
    """
    processes, sharding = layout.processes, layout.sharding
    total, trained = config.num_parameters(), trained_parameters(config, adapter)
    frozen = adapter.kind != "none"
    pure, half = run.precision == "bf16-pure", run.precision != "fp32"
    deepspeed = sharding.startswith("zero")
    uncut, cut = 1 / run.tensor_parallel, 1 / processes
    weights_cut = cut if sharding in ("fsdp2", "zero3") else uncut
    state_cut = cut if sharding != "none" else uncut
    gradients_cut = cut if sharding in ("fsdp2", "zero2", "zero3") else uncut
    stored = 2 if half and (pure or frozen or deepspeed) else 4
    matrices = 1 if config.tie_word_embeddings or config.num_labels else 2  # beside the layers
    linear = total - config.vocab_size * config.hidden_size * matrices
    weights = float(total * stored) + (4 * trained if frozen else 0)
    if adapter.kind == "qlora":
        weights += linear * (NF4_BYTES - stored)
    state = OPTIMIZERS[optim.optimizer].stepping(pure and not frozen).state_bytes
    state += 4.0 if deepspeed and half else 0.0  # DeepSpeed's float32 copy
    largest = max(config.vocab_size, config.intermediate_size) * config.hidden_size
    wide = not (stored == 2 and not frozen) or sharding == "none"  # bfloat16 weights: see `WideGradients`
    one_pass = steps_in_backward(optim) and optim.global_batch <= optim.micro_batch
    gradients = (largest if one_pass else trained) * (4.0 if wide else 2.0)
    stream = 4 if stored == 4 and sharding != "fsdp2" else 2 if half else 4
    tokens = optim.micro_batch * capacity
    kept, working = activation_bytes(config, model.recompute, stream, 2 if half else 4)
    if model.recompute == "full":
        working += adapter_activation_bytes(config, adapter, "none", run.precision, sharding)
    else:
        kept += adapter_activation_bytes(config, adapter, model.recompute, run.precision, sharding)
    if adapter.kind == "dora":  # a matrix, the adapter's product and their sum, in float32, to measure lengths
        working_matrices = 3 * 4.0 * max(rows * columns for rows, columns in linear_shapes(config).values())
    else:
        working_matrices = 0.0
    layer = linear / config.num_hidden_layers * (2 if half else 4)
    casts = 0.0
    if sharding in ("fsdp2", "zero3"):
        casts = 2 * layer  # the layer at work and the next one, gathered
    elif half and stored == 4:
        casts = 2.0 * (
            linear + config.vocab_size * config.hidden_size
        )  # autocast's copies live until the backward pass
    if adapter.kind == "dora" and adapter.dropout and run.precision != "fp32":
        casts += linear * _adapter_precision(run.precision, sharding)  # it multiplies what dropout let through anew
    logits = 0.0 if config.num_labels else min(CHUNK, tokens) * config.vocab_size * 8.0
    if not frozen and not config.num_labels:
        logits += config.vocab_size * config.hidden_size * (4.0 + 2.0)  # its gradient, and a product on its way there
    return {
        "weights": weights * weights_cut,
        "bfloat16 copies or gathered layers": casts,
        "gradients": gradients * gradients_cut,
        "optimizer": trained * state * state_cut,
        "activations": tokens * (kept * config.num_hidden_layers + working + 3 * stream * config.hidden_size)
        + working_matrices,
        "logits": logits,
    }


def estimate_stage_memory(
    config: LlamaConfig, recipe: Recipe, layout: Layout, stage: int, micro_batches: int
) -> dict[str, float]:
    """As `estimate_memory`, on one process of a stage of a pipeline, from 0.

    Args:
        config: the whole model.
        recipe: what is trained, without an adapter.
        layout: how it is spread over processes.
        stage: which.
        micro_batches: of a process in an update.
    """
    run, stages = recipe.run, pipeline_stages(recipe.run)
    layers = len(stage_layers(config.num_hidden_layers, stages)[stage])
    held = replace(config, num_hidden_layers=layers)
    part = replace(layout, processes=layout.processes // stages)
    capacity = recipe.data.max_length
    parts = estimate_memory(held, recipe.model, recipe.optim, recipe.adapter, run, capacity, part)
    width, matrix = config.hidden_size, config.vocab_size * config.hidden_size
    last, whole = stage == stages - 1, held.num_parameters()
    own = whole - (matrix if stage else 0) - (0 if last else matrix + width)
    for name in ("weights", "gradients", "optimizer"):
        parts[name] *= own / whole
    if layout.sharding == "fsdp2":  # its weights stay gathered during an update, and its gradients wait to be summed
        parts["bfloat16 copies or gathered layers"] = own * (4.0 if run.precision == "fp32" else 2.0)
        parts["gradients"] += own * 4.0
    stream = 2 if run.precision == "bf16-pure" or (run.precision == "bf16" and layout.sharding == "fsdp2") else 4
    kept, _ = activation_bytes(config, recipe.model.recompute, stream, 4 if run.precision == "fp32" else 2)
    others = min(stages - stage, micro_batches) - 1  # micro-batches that wait for their backward pass
    parts["activations"] += others * recipe.optim.micro_batch * capacity * (kept * layers + stream * width)
    parts["logits"] *= last
    return parts


def estimate_host_memory(
    config: LlamaConfig, adapter: AdapterSection, run: RunSection, parts: dict[str, float], layout: Layout
) -> dict[str, float]:
    """Bytes of the machine's memory that one process needs on a GPU, by part, but for Python itself and its libraries.

    Args:
        config: the model.
        adapter, run: sections of the recipe.
        parts: from `estimate_memory`.
        layout: how it is spread over processes.
    """
    stored = 2 if run.precision == "bf16-pure" or (run.precision == "bf16" and adapter.kind != "none") else 4
    if run.precision == "bf16" and layout.sharding == "zero3":
        stored = 2
    width = config.hidden_size
    matrix = max(config.vocab_size, config.intermediate_size) * width
    layer = (config.num_parameters() - config.vocab_size * width) // config.num_hidden_layers
    read = stored * (max(layer, matrix) if layout.sharding == "zero3" else matrix)
    trained = trained_parameters(config, adapter)
    share = trained / config.num_parameters() if adapter.kind == "none" else 1.0
    weights = parts["weights"] * share if adapter.kind == "none" else 4.0 * trained
    deepspeed = layout.sharding.startswith("zero")
    return {
        "offloaded weights": parts["weights"] if layout.offload_weights else 0.0,
        "offloaded optimizer, gradients": (
            parts["optimizer"] + parts["gradients"] if layout.offload_optimizer else 0.0
        ),
        # Torch copies a checkpoint before it writes it in the background; DeepSpeed writes at once.
        "reading a model, or a checkpoint's copy": max(read, 0.0 if deepspeed else weights + parts["optimizer"]),
    }


def saved_on_first(config: LlamaConfig, adapter: AdapterSection, run: RunSection, layout: Layout) -> float:
    """Bytes that the first process needs of its machine's memory in the end: all that was trained, put together."""
    half = run.precision == "bf16-pure" or (layout.sharding == "zero3" and run.precision == "bf16")
    return trained_parameters(config, adapter) * (2.0 if half and adapter.kind == "none" else 4.0)
