"""Gradients of bfloat16 weights, summed, measured and clipped in float32."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class WideGradients:
    """Takes each micro-batch's gradient out of `weight.grad` and adds it up in float32.

    Between micro-batches `weight.grad` is empty: torch's compiler refuses weights whose gradient has another dtype.
    """

    def __init__(self) -> None:
        self._sums: dict[Tensor, Tensor] = {}

    def watch(self, weights: Iterable[nn.Parameter]) -> None:
        """Take the gradients of these, those in bfloat16 that are trained, as soon as they are complete."""
        for weight in weights:
            if weight.requires_grad and weight.dtype == torch.bfloat16:
                weight.register_post_accumulate_grad_hook(self.add)  # type: ignore[no-untyped-call]

    def add(self, weight: Tensor) -> None:
        """Move a weight's gradient into its sum."""
        assert weight.grad is not None
        if weight in self._sums:
            self._sums[weight] += weight.grad
        else:
            self._sums[weight] = weight.grad.float()
        weight.grad = None

    def hand_over(self) -> None:
        """Make the sums the weights' gradients."""
        for weight in list(self._sums):
            self.hand_over_one(weight)

    def hand_over_one(self, weight: Tensor) -> None:
        weight.grad_dtype = torch.float32
        weight.grad = self._sums.pop(weight)
        weight.grad_dtype = None  # what comes next is bfloat16 again

    def forget(self) -> None:
        self._sums.clear()
