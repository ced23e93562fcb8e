"""Linear layers; on a CPU in float32 with oneDNN's products of matrices in place of MKL's.

MKL takes its 512-bit kernels on Intel's processors alone: on an AMD EPYC that has them it makes half the products a
second. Both sum in float32; the order of the sums differs.

Shapes: M rows, K width of the input, N width of the output.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

# Multiplications from which on oneDNN is worth its call, which takes 10 us more: measured for M, K and N from 1 to 4096
# on one core of an AMD EPYC (Zen 5). Both are as fast at 1e6 to 2e6; at 1e8 oneDNN makes 2.2 times as many a second.
LEAST = 2**21
HAS_ONEDNN: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


class Linear(nn.Linear):
    """torch's layer, faster on some CPUs."""

    def forward(self, x: Tensor) -> Tensor:
        weight_NK = self.weight
        if self.bias is not None or not _gains(x, weight_NK):
            return linear(x, weight_NK, self.bias)
        if torch.is_grad_enabled() and (x.requires_grad or weight_NK.requires_grad):
            out: Tensor = _LinearFunction.apply(x, weight_NK)
            return out
        return _product(x, weight_NK)


def product(a_MK: Tensor, b_NK: Tensor) -> Tensor:
    """(M, N) a b^T, through which no gradients go; b may be a transposed view."""
    return _product(a_MK, b_NK) if _gains(a_MK, b_NK) else a_MK @ b_NK.T


def transposed_product(a_MN: Tensor, b_MK: Tensor) -> Tensor:
    """(N, K) a^T b, through which no gradients go."""
    if not _gains(a_MN.T, b_MK.T):
        return a_MN.T @ b_MK
    # oneDNN wants its first operand with rows that lie together, so the narrower of the two is copied.
    if a_MN.shape[1] <= b_MK.shape[1]:
        return _product(a_MN.T, b_MK.T)
    return _product(b_MK.T, a_MN.T).T


class _LinearFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_NK: Tensor) -> Tensor:
        of_x, of_weight = ctx.needs_input_grad  # a frozen matrix keeps no input
        ctx.save_for_backward(x if of_weight else None, weight_NK if of_x else None)
        return _product(x, weight_NK)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight_NK = ctx.saved_tensors
        grad_x = product(grads[0], weight_NK.T) if ctx.needs_input_grad[0] else None
        grad_NK = None
        if ctx.needs_input_grad[1]:
            grad_NK = transposed_product(grads[0].flatten(0, -2), x.flatten(0, -2))
        return grad_x, grad_NK


def _gains(x: Tensor, weight_NK: Tensor) -> bool:
    """Whether oneDNN computes x weight^T sooner: plain float32 on a CPU, and enough of it."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight_NK.dtype == torch.float32
        and x.numel() * weight_NK.shape[0] >= LEAST
        and type(x) is Tensor
        and type(weight_NK) in (Tensor, nn.Parameter)
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and HAS_ONEDNN
    )


def _product(x: Tensor, weight_NK: Tensor) -> Tensor:
    # What torch's own compiler calls where weights are constant.
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight_NK, None, "none", [], "")
    return out
