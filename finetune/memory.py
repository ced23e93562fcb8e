"""What a run needs in memory, by part: on each process, and of each machine."""

from dataclasses import replace

from finetune.exchange_memory import exchange_bytes
from finetune.layout import Layout, loads_whole
from finetune.llama.config import LlamaConfig
from finetune.objectives.next_token import CHUNK
from finetune.optimizers.table import OPTIMIZERS
from finetune.parallel.pipeline import stage_layers
from finetune.parameter_counts import ParameterCounts, count_parameters, linear_shapes
from finetune.recipe import (
    AdapterSection,
    ModelSection,
    PlaceSection,
    Recipe,
    StepSection,
    context_parts,
    pipeline_stages,
    steps_in_backward,
)

# A 4-bit weight, its share of the 8-bit constants and of theirs (Dettmers et al. 2023, section 3).
NF4_BYTES = 0.5 + 8 / 64 / 8 + 32 / 64 / 256 / 8

# Parts that a layout or a stage has its own word in.
GATHERED, AT_WORK = "copies, gathered weights, buckets", "a layer at work, the loss, or sums"


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
    config: LlamaConfig, adapter: AdapterSection, recompute: str, precision: str, sharding: str, compiled: bool = False
) -> float:
    """Bytes a token that a layer keeps more with adapters than `activation_bytes` says of one that is trained whole.

    As PEFT computes: a frozen matrix keeps no input, its adapter does; where that is in another precision than the
    layer, each adapter keeps a copy, which compiled layers make anew. Dropout keeps a mask of a byte and what it let
    through. DoRA keeps the base's output and the adapter's, whose lengths it changes.
    """
    if adapter.kind == "none":
        return 0.0
    compute = 4 if precision == "fp32" else 2
    own = _adapter_precision(precision, sharding)
    copied = precision == "bf16-pure" or (precision == "bf16" and sharding == "none" and adapter.kind != "qlora")
    copied = copied and not compiled
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
    optim: StepSection,
    adapter: AdapterSection,
    run: PlaceSection,
    capacity: int,
    layout: Layout,
    compiled: bool = False,
) -> dict[str, float]:
    """Bytes on one process, by part, wherever they lie (`estimate_host_memory` says which lie in the machine's).

    Args:
        config: the model.
        model, optim, adapter, run: sections of the recipe.
        capacity: tokens of a sequence.
        layout: how it is spread over processes.
        compiled: whether layers are (`compiles`).
    """
    counts = count_parameters(config, adapter)
    held = replace(counts, layers=counts.layers // run.tensor_parallel)  # by a process, before its ranks cut it further
    pure, half = run.pure, run.precision != "fp32"
    deepspeed, compute = layout.sharding.startswith("zero"), 2 if half else 4
    stored = 2 if half and (pure or counts.frozen or deepspeed) else 4
    cut = run.tensor_parallel / layout.processes
    weights_cut = cut if layout.sharding in ("fsdp2", "zero3") else 1.0
    gradients_cut = cut if layout.sharding in ("fsdp2", "zero2", "zero3") else 1.0
    state_cut = cut if layout.sharding != "none" else 1.0
    weights = float(held.total * stored)
    if counts.frozen:
        weights += held.trained * (2 if deepspeed and half else 4)
    if adapter.kind == "qlora":
        weights += held.layers * (NF4_BYTES - stored)
    state = OPTIMIZERS[optim.optimizer].stepping(pure and not counts.frozen).state_bytes
    state += 4.0 if deepspeed else 0.0  # DeepSpeed's float32 copy
    narrow = (deepspeed and half) or (pure and not counts.frozen and layout.sharding == "fsdp2")  # see `WideGradients`
    one_pass = steps_in_backward(optim) and optim.global_batch <= optim.micro_batch
    gradients = (_largest_matrix(config) if one_pass else held.trained) * (2.0 if narrow else 4.0)
    autocast = half and stored == 4 and layout.sharding == "none"
    copies = 2.0 * (held.layers + config.vocab_size * config.hidden_size) if autocast else 0.0  # of the forward pass
    if counts.frozen and run.precision == "bf16" and layout.sharding == "none":
        copies = 2.0 * held.adapters
    if adapter.kind == "dora" and adapter.dropout and half:
        copies += held.layers * _adapter_precision(run.precision, layout.sharding)  # multiplied anew: see above
    stream = 4 if stored == 4 and layout.sharding != "fsdp2" else compute
    tokens = optim.micro_batch * capacity / context_parts(run)
    kept, layer = _layer_bytes(config, model, adapter, run, layout, tokens, stream, compiled)
    kept += tokens * 3 * stream * config.hidden_size
    loss = _loss_bytes(config, held, tokens, compute, narrow_weights=half and not autocast)
    moved = exchange_bytes(held, config.num_hidden_layers, compute, layout)
    moments = (  # one after the other, so that only the greatest counts
        loss + moved.loss,
        layer + moved.layer,
        layer + moved.start - moved.lasting - kept * (1 - 1 / config.num_hidden_layers),
        moved.end - moved.lasting - kept,
    )
    return {
        "weights": weights * weights_cut,
        GATHERED: copies + moved.lasting,
        "gradients": gradients * gradients_cut,
        "optimizer": held.trained * state * state_cut,
        "activations": kept,
        AT_WORK: max(moments),
    }


def _largest_matrix(config: LlamaConfig) -> int:
    return max(config.vocab_size, config.intermediate_size) * config.hidden_size


def _layer_bytes(
    config: LlamaConfig,
    model: ModelSection,
    adapter: AdapterSection,
    run: PlaceSection,
    layout: Layout,
    tokens: float,
    stream: int,
    compiled: bool = False,
) -> tuple[float, float]:
    """Bytes that all layers together keep for the backward pass, and that one needs while it is worked on."""
    size, compute = run.tensor_parallel, 4 if run.precision == "fp32" else 2
    share = replace(  # what one of the tensor-parallel processes computes
        config,
        num_attention_heads=config.num_attention_heads // size,
        num_key_value_heads=config.kv_heads // size,
        intermediate_size=config.intermediate_size // size,
        head_dim=config.head_size,
    )
    kept, working = activation_bytes(share, model.recompute, stream, compute)
    if model.recompute == "full":
        working += adapter_activation_bytes(share, adapter, "none", run.precision, layout.sharding, compiled)
    else:
        kept += adapter_activation_bytes(share, adapter, model.recompute, run.precision, layout.sharding, compiled)
    context = context_parts(run)
    if context > 1:  # keys and values of whole documents, as each of this process's two pieces of them sees them
        seen = context * (1 + 1 / (2 * context)) * 2 * config.kv_heads * config.head_size * compute
        kept, working = (kept, working + seen) if model.recompute == "full" else (kept + seen, working)
    lengths = 0.0
    if adapter.kind == "dora":  # in float32 to measure lengths: a matrix, the adapter's product, scaled, and their sum
        matrices = 12 if compute == 4 else 16  # PEFT makes the product of a unit matrix
        shapes = [linear_shapes(config)[name] for name in adapter.targets]
        lengths = max(matrices * rows * columns + compute * rows**2 for rows, columns in shapes)
    return tokens * kept * config.num_hidden_layers, tokens * working + lengths


def _loss_bytes(
    config: LlamaConfig, counts: ParameterCounts, tokens: float, compute: int, narrow_weights: bool
) -> float:
    """Bytes while the loss is computed: logits of a chunk; where the output layer is trained, its gradient, too.

    That is made in float32, out of a product for each chunk, then scaled and, for bfloat16 weights, rounded.
    """
    logits = 0.0 if config.num_labels else min(CHUNK, tokens) * config.vocab_size * 8.0
    rounded = 2 if narrow_weights else 0
    return max(logits + counts.output * (4 + compute), counts.output * (8.0 + rounded))


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
    capacity, tokens = recipe.data.max_length, recipe.optim.micro_batch * recipe.data.max_length
    parts = estimate_memory(held, recipe.model, recipe.optim, recipe.adapter, run, capacity, part)
    width, matrix = config.hidden_size, config.vocab_size * config.hidden_size
    last, whole = stage == stages - 1, held.num_parameters()
    own = whole - (matrix if stage else 0) - (0 if last else matrix + width)
    for name in ("weights", "gradients", "optimizer"):
        parts[name] *= own / whole
    compute = 4 if run.precision == "fp32" else 2
    if layout.sharding == "fsdp2":  # its weights stay gathered during an update, and its gradients wait to be summed
        parts[GATHERED] = own * float(compute)
        parts["gradients"] += own * 4.0
    stream = 2 if run.pure or (run.precision == "bf16" and layout.sharding == "fsdp2") else 4
    kept, at_work = _layer_bytes(held, recipe.model, recipe.adapter, run, layout, tokens, stream)
    others = min(stages - stage, micro_batches) - 1  # micro-batches that wait for their backward pass
    parts["activations"] += others * (kept + tokens * stream * width)
    if last:
        counts, narrow = count_parameters(held, recipe.adapter), compute == 2 and stream == 2
        at_work = max(at_work, _loss_bytes(held, counts, tokens, compute, narrow))
    parts[AT_WORK] = at_work
    return parts


def estimate_host_memory(
    config: LlamaConfig, adapter: AdapterSection, run: PlaceSection, parts: dict[str, float], layout: Layout
) -> dict[str, float]:
    """Bytes of the machine's memory that one process needs on a GPU, by part, but for Python itself and its libraries.

    Args:
        config: the model.
        adapter, run: sections of the recipe.
        parts: from `estimate_memory`.
        layout: how it is spread over processes.
    """
    stored = 2 if run.pure or (run.precision == "bf16" and adapter.kind != "none") else 4
    if run.precision == "bf16" and layout.sharding == "zero3":
        stored = 2
    width = config.hidden_size
    matrix = _largest_matrix(config)
    layer = (config.num_parameters() - config.vocab_size * width) // config.num_hidden_layers
    read = stored * (max(layer, matrix) if layout.sharding == "zero3" else matrix)
    if loads_whole(config, adapter) and layout.sharding in ("fsdp2", "zero3"):
        read = stored * config.num_parameters()
    trained = count_parameters(config, adapter).trained
    weights = parts["weights"] if adapter.kind == "none" else 4.0 * trained
    deepspeed = layout.sharding.startswith("zero")
    return {
        "offloaded weights": parts["weights"] if layout.offload_weights else 0.0,
        "offloaded optimizer, gradients": (
            parts["optimizer"] + parts["gradients"] if layout.offload_optimizer else 0.0
        ),
        # Torch copies a checkpoint before it writes it in the background; DeepSpeed writes at once.
        "reading a model, or a checkpoint's copy": max(read, 0.0 if deepspeed else weights + parts["optimizer"]),
    }


def saved_on_first(config: LlamaConfig, adapter: AdapterSection, run: PlaceSection, layout: Layout) -> float:
    """Bytes that the first process needs of its machine's memory in the end: all that was trained, put together."""
    half = run.pure or (layout.sharding == "zero3" and run.precision == "bf16")
    return count_parameters(config, adapter).trained * (2.0 if half and adapter.kind == "none" else 4.0)
