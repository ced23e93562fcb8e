"""AdamW in its variants: fused, in 8 bits, in pure bfloat16, and inside the backward pass."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from camelid.errors import UserError
from finetune.recipe import OptimSection

EPS = 1e-8  # added to the root of the second moment (Kingma and Ba 2015, algorithm 1)
CHUNK = 1 << 24  # weights that are worked on in float32 at once: 64 MiB a tensor


def make_optimizer(parameters: Iterable[nn.Parameter], optim: OptimSection, pure: bool) -> Any:
    """The optimizer of a recipe.

    Args:
        parameters: of the model; frozen ones are left out.
        optim: the recipe's section.
        pure: whether the weights are bfloat16 and to be rounded stochastically.

    Raises:
        UserError: bitsandbytes is asked for and not installed.
    """
    groups = decay_groups([parameter for parameter in parameters if parameter.requires_grad], optim.weight_decay)
    options: dict[str, Any] = {"lr": optim.lr, "betas": (optim.beta1, optim.beta2), "eps": EPS}
    if optim.in_backward:
        return InBackward(groups, pure, options)
    if optim.optimizer == "adamw":
        return _adamw(groups, pure, options)
    if pure:
        raise UserError(
            f"optim.optimizer = {optim.optimizer!r} does not go with run.precision = 'bf16-pure'; use adamw"
        )
    try:
        import bitsandbytes
    except ImportError:
        raise UserError(
            f"optim.optimizer = {optim.optimizer!r} needs bitsandbytes: pip install camelid[quant]"
        ) from None
    kind = {"adamw-8bit": bitsandbytes.optim.AdamW8bit, "paged-adamw-8bit": bitsandbytes.optim.PagedAdamW8bit}
    return kind[optim.optimizer](groups, **options)


def decay_groups(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices are decayed; vectors (norms, biases) are not, as in Hugging Face's Trainer.

    Weights on different meshes get groups of their own: fused operations don't mix them.
    """
    groups: dict[tuple[object, bool], list[nn.Parameter]] = {}
    for weight in parameters:
        mesh = weight.device_mesh if isinstance(weight, DTensor) else None
        groups.setdefault((mesh, weight.ndim >= 2), []).append(weight)
    return [
        {"params": weights, "weight_decay": weight_decay if decayed else 0.0}
        for (_, decayed), weights in groups.items()
    ]


def _adamw(groups: list[dict[str, Any]], pure: bool, options: dict[str, Any]) -> torch.optim.Optimizer:
    return StochasticAdamW(groups, **options) if pure else torch.optim.AdamW(groups, **options, fused=True)


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
        eps: float = EPS,
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


class InBackward:
    """Steps each weight as soon as its gradient is complete and frees the gradient (Lv et al. 2023, LOMO).

    It looks like an optimizer; `armed` says that the coming backward pass is the last of the update.

    Attributes:
        optimizers: one a weight, for checkpoints.
        armed: whether gradients are applied as they come.
        bad: weights that were not stepped in this update because their gradient is NaN or infinite.
    """

    def __init__(self, groups: list[dict[str, Any]], pure: bool, options: dict[str, Any]) -> None:
        self.armed = False
        self.bad = 0
        self._squares: list[Tensor] = []
        self._of: dict[nn.Parameter, torch.optim.Optimizer] = {}
        for group in groups:
            for weight in group["params"]:
                self._of[weight] = _adamw([{**group, "params": [weight]}], pure, options)
                weight.register_post_accumulate_grad_hook(self._arrived)

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        return list(self._of.values())

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._of.values() for group in optimizer.param_groups]

    def norm(self) -> float:
        """Norm of all gradients of the last armed backward pass."""
        squares, self._squares = self._squares, []
        return float(torch.stack(squares).sum().sqrt()) if squares else 0.0

    def zero_grad(self) -> None:
        for optimizer in self._of.values():
            optimizer.zero_grad()

    def _arrived(self, weight: Tensor) -> None:
        assert isinstance(weight, nn.Parameter) and weight.grad is not None
        if not self.armed:
            return
        square = weight.grad.float().pow(2).sum()
        self._squares.append(square)
        if torch.isfinite(square):
            self._of[weight].step()
        else:
            self.bad += 1
        weight.grad = None
