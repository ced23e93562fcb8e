"""What processes send each other in an update, by kind, and how long that takes: arithmetic, without latency."""

from collections.abc import Sequence
from dataclasses import dataclass

from finetune.layout import Layout
from finetune.llama.config import LlamaConfig
from finetune.parallel.hardware import GpuModel
from finetune.parameter_counts import count_parameters
from finetune.recipe import Recipe, context_parts, pipeline_stages

BACKWARD = 2 / 3  # of an update's computation: twice the forward pass's (Kaplan et al. 2020, section 2.1)


@dataclass(frozen=True)
class Traffic:
    """One kind of message.

    Attributes:
        name: what is sent.
        size: bytes that a process sends in an update, and as many that it receives.
        together: processes of one machine that send the same to others, so that each of their links carries a part.
        crosses: whether it leaves the machine.
        behind: share of an update's computation during which it is on its way; 0 where the next operation waits for it.
    """

    name: str
    size: float
    together: int
    crosses: bool
    behind: float

    def seconds(self, gpu: GpuModel) -> float:
        """How long a process sends, at the peak of its links."""
        return self.size / (min(gpu.link, gpu.network * self.together) if self.crosses else gpu.link)


def update_traffic(
    config: LlamaConfig, recipe: Recipe, layout: Layout, micro_batches: int, tokens: float
) -> list[Traffic]:
    """The messages of an update.

    A ring of n processes sends (n - 1) / n of a tensor to gather its parts, or to sum and cut it, and twice that to sum
    it whole (Patarasuk and Yuan 2009).

    Args:
        config: the model.
        recipe: what is trained; its processes as the layout says.
        layout: how they are spread.
        micro_batches: of a process in an update.
        tokens: of a micro-batch.
    """
    run = recipe.run
    tensor, stages = run.tensor_parallel, pipeline_stages(run)
    ranks = layout.processes // tensor // stages
    in_machine = layout.processes // layout.machines
    number = 2 if run.precision != "fp32" else 4  # bytes of what is computed with
    ring, last_backward = (ranks - 1) / ranks, BACKWARD / micro_batches
    part = 1 / tensor / stages
    whole, trained = config.num_parameters() * part, count_parameters(config, recipe.adapter).trained * part
    data = (max(1, min(ranks, in_machine // tensor)), ranks * tensor > in_machine)
    found = []
    if layout.sharding == "none":
        # Gradients of bfloat16 weights are summed when all are there (`WideGradients`).
        behind = 0.0 if run.pure else last_backward
        found = [Traffic("gradients", 2 * ring * trained * 4, *data, behind)]
    elif layout.sharding in ("zero1", "zero2"):
        times, behind = (1, last_backward) if layout.sharding == "zero1" else (micro_batches, BACKWARD)
        found = [
            Traffic("weights", ring * trained * number, *data, 0.0),
            Traffic("gradients", ring * trained * number * times, *data, behind),
        ]
    elif stages > 1:  # a stage's weights stay whole during an update, and its gradients wait
        found = [
            Traffic("weights", ring * whole * number, *data, (1 - BACKWARD) / micro_batches),
            Traffic("gradients", ring * trained * 4, *data, last_backward),
        ]
    else:
        wide = number if layout.sharding == "zero3" else 4
        found = [
            Traffic("weights", ring * whole * number * 2 * micro_batches, *data, 1.0),
            Traffic("gradients", ring * trained * wide * micro_batches, *data, 1.0),
        ]
    hidden_states = micro_batches * tokens * config.hidden_size
    if tensor > 1:  # twice a layer forwards and backwards, and forwards again where all is made again
        passes = 6 if recipe.model.recompute == "full" else 4
        size = passes * 2 * (tensor - 1) / tensor * hidden_states * number * config.num_hidden_layers / stages
        found.append(Traffic("sums of tensor parallelism", size, 1, tensor > in_machine, 0.0))
    context = context_parts(run)
    if context > 1:  # gathered in a layer's forward pass, again where it is made again; their gradients summed and cut
        passes = 3 if recipe.model.recompute == "full" else 2
        rows = 2 * config.kv_heads * config.head_size * number * config.num_hidden_layers
        size = passes * (context - 1) / context * micro_batches * tokens * rows
        found.append(Traffic("keys and values", size, 1, context > in_machine, 0.0))
    if stages > 1:
        stream = 2 if run.pure or (run.precision == "bf16" and layout.sharding == "fsdp2") else 4
        size = 2 * hidden_states * stream  # of a stage in the middle: onwards, and its gradient back
        found.append(Traffic("hidden states", size, 1, layout.machines > 1, 0.0))
    return [each for each in found if each.size > 0]


def update_seconds(traffic: Sequence[Traffic], computing: float, gpu: GpuModel) -> float:
    """How long an update takes: its computation, and the messages as far as that does not hide them.

    Args:
        traffic: from `update_traffic`.
        computing: seconds of computation.
        gpu: whose links carry it.
    """
    total = computing
    for behind in {each.behind for each in traffic}:
        sending = sum(each.seconds(gpu) for each in traffic if each.behind == behind)
        total += max(0.0, sending - behind * computing)
    return total
