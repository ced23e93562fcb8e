"""Norm and gate with lean backward passes.

Shapes: T tokens, D width of the residual stream, F width inside the feed-forward.
"""

from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import silu


def _widened(x_TD: Tensor) -> Tensor:
    """In float32 at least: float64 stays."""
    return x_TD.to(torch.promote_types(x_TD.dtype, torch.float32))


def _norm(x_TD: Tensor, weight_D: Tensor, eps: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    wide_TD = _widened(x_TD)
    scale_T1 = torch.rsqrt(vector_norm(wide_TD, dim=-1, keepdim=True).square() / wide_TD.shape[-1] + eps)
    # Rounded to the input's precision before the weight comes in, as LLaMA and transformers do.
    normed_TD = (wide_TD * scale_T1).to(x_TD.dtype)
    in_place = not torch.is_grad_enabled() and normed_TD.dtype == weight_D.dtype
    return (normed_TD.mul_(weight_D) if in_place else normed_TD * weight_D).to(dtype), scale_T1


class _RMSNormFunction(torch.autograd.Function):
    """Keeps its input and one number a token; autograd would keep three tensors as wide as the input."""

    @staticmethod
    def forward(ctx: Any, x_TD: Tensor, weight_D: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        out_TD, scale_T1 = _norm(x_TD, weight_D, eps, dtype)
        ctx.save_for_backward(x_TD, weight_D, scale_T1)
        return out_TD

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x_TD, weight_D, scale_T1 = ctx.saved_tensors
        wide_TD, wide_D, grad_TD = _widened(x_TD), _widened(weight_D), _widened(grads[0])
        # With the scale s of a token: dx = s g w - s^3 x mean(g w x), and dw sums s g x. Both sums are products of
        # matrix and vector, which want no memory for terms.
        product_TD = grad_TD * wide_TD
        along_T1 = (product_TD @ wide_D)[..., None] * scale_T1.pow(3) / wide_TD.shape[-1]
        grad_weight_D = None
        if ctx.needs_input_grad[1]:
            grad_weight_D = (scale_T1.flatten() @ product_TD.flatten(0, -2)).to(weight_D.dtype)
        grad_x_TD = torch.mul(grad_TD, wide_D, out=product_TD).mul_(scale_T1).addcmul_(wide_TD, along_T1, value=-1)
        return grad_x_TD.to(x_TD.dtype), grad_weight_D, None, None


def rms_norm(x_TD: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019, eq. 4), the statistics in float32 at least.

    The result has autocast's dtype, so that the linear layers that read it share one copy, or without autocast the
    input's.

    Args:
        x_TD: what is normalised; (T, H, d) for heads, each by itself.
        weight_D: the gain.
        eps: added to the mean square.
    """
    device = x_TD.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x_TD.dtype
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():  # a compiler chooses itself what is kept
        return _norm(x_TD, weight_D, eps, dtype)[0]
    out: Tensor = _RMSNormFunction.apply(x_TD, weight_D, eps, dtype)  # type: ignore[no-untyped-call]
    return out


class _SwiGLUFunction(torch.autograd.Function):
    """Keeps its two inputs; autograd would keep silu(gate) too."""

    @staticmethod
    def forward(ctx: Any, gate_TF: Tensor, up_TF: Tensor) -> Tensor:
        ctx.save_for_backward(gate_TF, up_TF)
        return silu(gate_TF).mul_(up_TF)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        gate_TF, up_TF = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grads[0] * up_TF, gate_TF), silu(gate_TF).mul_(grads[0])


def swiglu(gate_TF: Tensor, up_TF: Tensor) -> Tensor:
    """silu(gate) * up (Shazeer 2020, "GLU Variants Improve Transformer", eq. 6)."""
    if torch.compiler.is_compiling():
        return silu(gate_TF) * up_TF
    if not torch.is_grad_enabled():
        return silu(gate_TF).mul_(up_TF)
    out: Tensor = _SwiGLUFunction.apply(gate_TF, up_TF)  # type: ignore[no-untyped-call]
    return out
