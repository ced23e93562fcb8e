"""AdamW on bfloat16 weights, rounded at random."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

CHUNK = 1 << 24  # weights that are worked on in float32 at once: 64 MiB a tensor


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

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._step(weight, group)

    def _step(self, weight: nn.Parameter, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["step"] += 1
        step, (beta1, beta2) = float(state["step"]), group["betas"]
        size, root = group["lr"] / (1 - beta1**step), (1 - beta2**step) ** 0.5
        assert weight.grad is not None
        tensors = (weight, weight.grad, state["exp_avg"], state["exp_avg_sq"])
        chunks = (torch.split(_local(tensor), CHUNK) for tensor in tensors)
        for value, gradient, first, second in zip(*chunks, strict=True):
            grad = gradient.float()
            mean = first.float().lerp_(grad, 1 - beta1)
            square = second.float().mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            new = value.float().mul_(1 - group["lr"] * group["weight_decay"])
            new.addcdiv_(mean, square.sqrt().div_(root).add_(group["eps"]), value=-size)
            for target, wide in ((value, new), (first, mean), (second, square)):
                round_stochastically(wide, target)


def _local(tensor: Tensor) -> Tensor:
    """This process's part of a tensor, flat, sharing memory."""
    whole = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return whole.detach().view(-1)


def round_stochastically(wide: Tensor, target: Tensor) -> None:
    """Write float32 values into a bfloat16 tensor, each to one of its two neighbours; unbiased.

    A bfloat16 is a float32 without its last 16 bits: adding 16 random bits carries over in proportion to those bits.
    """
    if target.dtype != torch.bfloat16:
        target.copy_(wide)
        return
    bits = wide.view(torch.int32)
    noise = torch.randint(0, 1 << 16, bits.shape, dtype=torch.int32, device=bits.device)
    target.copy_(((bits + noise) & -(1 << 16)).view(torch.float32))
