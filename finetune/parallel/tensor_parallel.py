"""Matrices cut over processes (Shoeybi et al. 2019, Megatron-LM, section 3), through torch's DTensor.

Attention is cut by heads and the feed-forward by its inner width, so each needs one sum over the processes.
"""

from typing import Any

from torch import Tensor
from torch.autograd import Function
from torch.distributed import ReduceOp, all_reduce
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from finetune.llama.activations import rms_norm
from finetune.llama.model import Llama, LlamaAttention, RMSNorm
from finetune.parallel.pipeline import PassedOn


def tensor_parallel_plan() -> dict[str, ParallelStyle]:
    """How each linear layer of a decoder layer is cut."""
    outwards = {name: ColwiseParallel() for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")}
    outwards |= {name: ColwiseParallel() for name in ("mlp.gate_proj", "mlp.up_proj")}
    return {**outwards, "self_attn.o_proj": RowwiseParallel(), "mlp.down_proj": RowwiseParallel()}


class _SummedGradient(Function):
    """The weight as it is; its gradient summed over the processes."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, mesh: DeviceMesh) -> Tensor:
        ctx.mesh = mesh
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        grad = grads[0].contiguous().clone()
        all_reduce(grad, ReduceOp.SUM, group=ctx.mesh.get_group())
        return grad, None


class NormOfSomeHeads(RMSNorm):
    """A norm that all heads share, of which each process has some: the gradient of its gain is all heads'.

    Args:
        norm: of all heads.
        mesh: the processes.
    """

    def __init__(self, norm: RMSNorm, mesh: DeviceMesh) -> None:
        super().__init__(0, norm.eps)
        self.weight, self._mesh = norm.weight, mesh

    def forward(self, x_THd: Tensor) -> Tensor:
        weight_d: Tensor = _SummedGradient.apply(self.weight, self._mesh)  # type: ignore[no-untyped-call]
        return rms_norm(x_THd, weight_d, self.eps)


def parallelise(model: Llama, mesh: DeviceMesh) -> None:
    """Cut the layers of a model over a one-dimensional mesh, in place.

    Embedding, norms and output layer stay whole: with the loss at trained positions only, the logits are the
    smaller part, and every process computes the same loss.
    Key and value heads and the inner width divide by the number of processes: `finetune.layout.check` saw to it.
    """
    for layer in model.model.layers:
        if isinstance(layer, PassedOn):
            continue
        parallelize_module(layer, mesh, tensor_parallel_plan())
        attention = layer.self_attn
        assert isinstance(attention, LlamaAttention)
        if attention.q_norm is not None and attention.k_norm is not None:
            attention.q_norm = NormOfSomeHeads(attention.q_norm, mesh)
            attention.k_norm = NormOfSomeHeads(attention.k_norm, mesh)
