"""Norm and gate with lean backward passes, and saved tensors that are made again instead of kept.

Shapes: T tokens, D width of the residual stream, F width inside the feed-forward.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import silu


class _RMSNormFunction(torch.autograd.Function):
    """Keeps its input and one number a token; autograd would keep three tensors as wide as the input."""

    @staticmethod
    def forward(ctx: Any, x_TD: Tensor, weight_D: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        wide_TD = x_TD.float()
        scale_T1 = torch.rsqrt(wide_TD.pow(2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x_TD, weight_D, scale_T1)
        # Rounded to the input's precision before the weight comes in, as LLaMA and transformers do.
        return ((wide_TD * scale_T1).to(x_TD.dtype) * weight_D).to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        x_TD, weight_D, scale_T1 = ctx.saved_tensors
        grad_TD = grads[0].float()
        normed_TD = x_TD.float() * scale_T1
        grad_weight_D = (grad_TD * normed_TD).sum(0).to(weight_D.dtype) if ctx.needs_input_grad[1] else None
        grad_TD = grad_TD * weight_D.float()
        along_T1 = (grad_TD * normed_TD).mean(-1, keepdim=True)
        grad_x_TD = ((grad_TD - normed_TD * along_T1) * scale_T1).to(x_TD.dtype)
        return grad_x_TD, grad_weight_D, None, None


def rms_norm(x_TD: Tensor, weight_D: Tensor, eps: float, dtype: torch.dtype | None = None) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight (Zhang and Sennrich 2019, eq. 4), the statistics in float32.

    Args:
        x_TD: what is normalised.
        weight_D: the gain.
        eps: added to the mean square.
        dtype: of the result. None is autocast's, so that the linear layers that read it share one copy, or
            without autocast the input's.
    """
    device = x_TD.device.type
    if dtype is None:
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x_TD.dtype
    out: Tensor = _RMSNormFunction.apply(x_TD, weight_D, eps, dtype)  # type: ignore[no-untyped-call]
    return out


class _SwiGLUFunction(torch.autograd.Function):
    """Keeps its two inputs; autograd would keep silu(gate) too."""

    @staticmethod
    def forward(ctx: Any, gate_TF: Tensor, up_TF: Tensor) -> Tensor:
        ctx.save_for_backward(gate_TF, up_TF)
        return silu(gate_TF) * up_TF

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        gate_TF, up_TF = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grads[0] * up_TF, gate_TF), grads[0] * silu(gate_TF)


def swiglu(gate_TF: Tensor, up_TF: Tensor) -> Tensor:
    """silu(gate) * up (Shazeer 2020, "GLU Variants Improve Transformer", eq. 6)."""
    out: Tensor = _SwiGLUFunction.apply(gate_TF, up_TF)  # type: ignore[no-untyped-call]
    return out


class Recomputation:
    """How to make a tensor again. It is made once for all operators that saved it."""

    def __init__(self, make: Callable[[], Tensor]) -> None:
        self._make = make
        self._made: Tensor | None = None
        self.wanted = self._left = 0

    def get(self) -> Tensor:
        if self._made is None:
            with torch.no_grad():
                self._made, self._left = self._make(), self.wanted
        made = self._made
        self._left -= 1
        if self._left <= 0:
            self._made = None
        return made


class Recomputations:
    """A stretch of the forward pass in which known tensors are not saved for the backward pass: their recipes are.

    Exact: a recipe repeats the operation that made the tensor, on the same inputs.

    Args:
        use: False saves everything as usual.
    """

    def __init__(self, use: bool) -> None:
        self._known: list[tuple[Tensor, Recomputation]] = []
        self._hooks = saved_tensors_hooks(self._pack, _unpack) if use else None

    def __enter__(self) -> "Recomputations":
        if self._hooks:
            self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        if self._hooks:
            self._hooks.__exit__(*error)
        self._known.clear()

    def add(self, tensor: Tensor, make: Callable[[], Tensor]) -> None:
        """From here on, operators that would save `tensor` save how to `make` it."""
        if self._hooks:
            self._known.append((tensor, Recomputation(make)))

    def _pack(self, tensor: Tensor) -> Tensor | Recomputation:
        for known, recipe in self._known:
            if tensor.data_ptr() == known.data_ptr() and tensor.shape == known.shape and tensor.dtype == known.dtype:
                recipe.wanted += 1
                return recipe
        return tensor


def _unpack(saved: Tensor | Recomputation) -> Tensor:
    return saved.get() if isinstance(saved, Recomputation) else saved
