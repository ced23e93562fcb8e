"""What processes that share a model need beside their own part of it: weights gathered, gradients on their way."""

from dataclasses import dataclass

from finetune.layout import Layout
from finetune.parameter_counts import ParameterCounts

# DeepSpeed's defaults, in numbers: `reduce_bucket_size`, `stage3_max_live_parameters`, `stage3_prefetch_bucket_size`
# (deepspeed.ai/docs/config-json, ZeRO optimizations).
BUCKET, LIVE, PREFETCH = 5e8, 1e9, 5e7


@dataclass(frozen=True)
class ExchangeBytes:
    """Bytes on one process, at each moment of an update.

    Attributes:
        lasting: in the forward and the backward pass.
        loss: more, while the loss is computed.
        layer: more, while the backward pass is in a layer.
        start: in the first layer of the forward pass, instead of `lasting`.
        end: at the end of the backward pass, when no activations are left, instead of `lasting`.
    """

    lasting: float = 0.0
    loss: float = 0.0
    layer: float = 0.0
    start: float = 0.0
    end: float = 0.0


def exchange_bytes(counts: ParameterCounts, layers: int, compute: int, layout: Layout) -> ExchangeBytes:
    """What a layout exchanges.

    Args:
        counts: of the weights that the processes share; with tensor parallelism, of what one of them holds.
        layers: of the model.
        compute: bytes of a number that is gathered, and of its gradient.
        layout: how it is spread.
    """
    if layout.sharding == "fsdp2":
        return _fsdp2(counts, layers, compute, layout)
    if layout.sharding == "zero3":
        return _zero3(counts, compute, layout)
    if layout.sharding in ("zero1", "zero2"):
        return _zero2(counts, compute, layout)
    return ExchangeBytes()


def _fsdp2(counts: ParameterCounts, layers: int, compute: int, layout: Layout) -> ExchangeBytes:
    """torch's `fully_shard`, each layer a group and the rest another, which is there from its first use to its last.

    A layer is gathered into a buffer and copied out of it; in the backward pass the next one's buffer fills meanwhile.
    Gradients are summed in float32, and the sum's input is kept until the next layer's. The output layer's gradient
    waits for the end, where the embedding's joins it. gloo, which CPUs talk through, copies what it gathers or sums.
    """
    layer, trained = (counts.layers + counts.adapters) / layers, counts.trained_in_layers / layers
    root, copies = counts.vocabulary + (counts.whole if counts.frozen else 0), layout.device == "cpu"
    return ExchangeBytes(
        lasting=compute * root,
        loss=compute * layer,
        layer=compute * (layer * (2 + copies) + counts.output) + (compute + 4) * trained,
        end=(max(compute + 4, 8) if copies else compute + 4) * counts.whole + 4 * trained,
    )


def _zero2(counts: ParameterCounts, compute: int, layout: Layout) -> ExchangeBytes:
    """DeepSpeed's ZeRO-1 and 2: a bucket for gradients, which are made flat to be summed.

    A GPU sets the whole bucket aside, a CPU what is written of it, which ZeRO-1 doesn't.
    """
    reserved = compute * BUCKET
    if layout.device == "cpu":
        reserved = compute * min(counts.trained, BUCKET) if layout.sharding == "zero2" else 0.0
    flat = compute * min(counts.trained, BUCKET)
    early = counts.trained > BUCKET  # the first sum is made while nearly all activations are there
    lasting = reserved if early or layout.device != "cpu" else 0.0
    return ExchangeBytes(lasting=lasting, layer=flat if early else 0.0, end=reserved + flat)


def _zero3(counts: ParameterCounts, compute: int, layout: Layout) -> ExchangeBytes:
    """DeepSpeed's ZeRO-3: that bucket from the beginning, and gathered weights that stay while they are few.

    They are gathered in buckets, too, and one of these at a time is copied out of. gloo copies what it gathers or sums.
    """
    copies = layout.device == "cpu"
    summed = compute * min(counts.trained, BUCKET)
    bucket = summed if copies else compute * BUCKET
    everything = counts.total + counts.trained * counts.frozen
    live = compute * min(everything, LIVE)
    gathering = compute * (1 + copies) * min(everything / 2, PREFETCH)
    summing = summed * (1 + copies) + 2 * compute * counts.output  # while the embedding, as large, is gathered
    early = counts.trained > BUCKET  # the first sum is made while nearly all activations are there
    return ExchangeBytes(
        lasting=bucket + live + (gathering if everything > LIVE else 0.0),
        layer=summing if early else 0.0,
        start=bucket + live + gathering,
        end=bucket + summing,
    )
