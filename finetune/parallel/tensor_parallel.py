"""Matrices cut over processes (Shoeybi et al. 2019, Megatron-LM, section 3), through torch's DTensor.

Attention is cut by heads and the feed-forward by its inner width, so each needs one sum over the processes.
"""

from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from finetune.llama.model import Llama


def tensor_parallel_plan() -> dict[str, ParallelStyle]:
    """How each linear layer of a decoder layer is cut."""
    outwards = {name: ColwiseParallel() for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")}
    outwards |= {name: ColwiseParallel() for name in ("mlp.gate_proj", "mlp.up_proj")}
    return {**outwards, "self_attn.o_proj": RowwiseParallel(), "mlp.down_proj": RowwiseParallel()}


def parallelise(model: Llama, mesh: DeviceMesh) -> None:
    """Cut the layers of a model over a one-dimensional mesh, in place.

    Embedding, norms and output layer stay whole: with the loss at trained positions only, the logits are the
    smaller part, and every process computes the same loss.
    Key and value heads and the inner width divide by the number of processes: `finetune.layout.check` saw to it.
    """
    for layer in model.model.layers:
        parallelize_module(layer, mesh, tensor_parallel_plan())
