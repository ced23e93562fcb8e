"""AdamW on bfloat16 weights, rounded at random."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

CHUNK = 1 << 18  # weights that a CPU works on in float32 at once: 1 MiB a tensor, of which there are nine


class StochasticAdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2019) on bfloat16 weights with bfloat16 moments, computed in float32.

    Results are rounded up or down at random, in proportion to how near each neighbour is, so that updates smaller
    than bfloat16's spacing still count on average (Gupta et al. 2015, section 3; for bfloat16 training Zamirai et al.
    2020). With nearest rounding most weights of a LLaMA would never move at a learning rate of 2e-5.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self._first = groups[0].get("number", 0)  # number of its first weight, told apart from other optimizers'

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        assert closure is None
        # Counted anew each time: DeepSpeed puts parts of its own in place of the weights.
        weights = [(weight, group) for group in self.param_groups for weight in group["params"]]
        for number, (weight, group) in enumerate(weights, start=self._first):
            if weight.grad is not None:
                self._step(weight, group, number)

    def _step(self, weight: nn.Parameter, group: dict[str, Any], number: int) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        step, (beta1, beta2) = int(state["step"]), group["betas"]
        size, root = group["lr"] / (1 - beta1**step), (1 - beta2**step) ** 0.5
        kept, eps = 1 - group["lr"] * group["weight_decay"], group["eps"]
        numbers = torch.tensor([beta1, beta2, 1 - beta2, size, root, kept, eps])
        assert weight.grad is not None
        tensors = [_local(tensor) for tensor in (weight, weight.grad, state["exp_avg"], state["exp_avg_sq"])]
        compiled = weight.is_cuda
        if compiled:
            numbers = numbers.pin_memory().to(weight.device, non_blocking=True)
        chunks = zip(*(torch.split(tensor, len(tensor) if compiled else CHUNK) for tensor in tensors), strict=True)
        for index, (value, gradient, first, second) in enumerate(chunks):
            # By step, weight and place alone: replicas of a weight are rounded alike.
            words = np.random.SeedSequence([step, number, index]).generate_state(2).view(np.int32)
            seeds = torch.from_numpy(words.copy()).to(weight.device)
            (_compiled if compiled else _update)(value, gradient, first, second, numbers, seeds)


def _update(value: Tensor, gradient: Tensor, first: Tensor, second: Tensor, numbers: Tensor, seeds: Tensor) -> None:
    """One step of flat weights, in place.

    Args:
        value, gradient, first, second: (n,) weights, their gradients, and both moments.
        numbers: float32 beta1, beta2, 1 - beta2, step size, root of the second moment's correction, 1 - lr * decay,
            epsilon.
        seeds: (2,) int32.
    """
    beta1, beta2, rest, size, root, kept, eps = numbers.unbind()
    grad = gradient.float()
    mean = torch.lerp(grad, first.float(), beta1)
    square = second.float() * beta2 + grad * grad * rest
    new = value.float() * kept - size * mean / (square.sqrt() / root + eps)
    place = torch.arange(len(value), dtype=torch.int32, device=value.device)
    bits, more = _hash(place ^ seeds[0]), _hash(place ^ seeds[1])
    for target, wide, noise in ((value, new, bits), (first, mean, bits >> 16), (second, square, more)):
        target.copy_(round_stochastically(wide, noise) if target.dtype == torch.bfloat16 else wide)


_compiled = torch.compile(_update, dynamic=True)  # one kernel, which reads and writes each number once


def _hash(words: Tensor) -> Tensor:
    """Scramble int32 words: MurmurHash3's finaliser (Appleby 2011, `fmix32`)."""
    words = (words ^ ((words >> 16) & 0xFFFF)) * -0x7A143595  # 0x85EBCA6B as int32
    words = (words ^ ((words >> 13) & 0x7FFFF)) * -0x3D4D51CB  # 0xC2B2AE35
    return words ^ ((words >> 16) & 0xFFFF)


def _local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor, flat, sharing memory."""
    whole = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return whole.detach().view(-1)


def round_stochastically(wide: Tensor, noise: Tensor) -> Tensor:
    """Float32 values as bfloat16, each as one of its two neighbours; unbiased.

    A bfloat16 is a float32 without its last 16 bits: adding 16 random bits carries over in proportion to those bits.

    Args:
        wide: the values.
        noise: int32 of which the last 16 bits are random.
    """
    bits = wide.view(torch.int32) + (noise & 0xFFFF)
    return (bits & -(1 << 16)).view(torch.float32).bfloat16()
