"""The optimizer of a recipe, and one that steps inside the backward pass."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from finetune.engine.wide_gradients import WideGradients
from finetune.optimizers.table import OPTIMIZERS, OptimizerMaker
from finetune.recipe import StepSection, root_eps, steps_in_backward


def make_optimizer(parameters: Iterable[nn.Parameter], optim: StepSection, pure: bool) -> Any:
    """The optimizer of a recipe.

    Args:
        parameters: of the model; frozen ones are left out.
        optim: the recipe's section; its optimizer takes such weights, which reading the recipe made sure of.
        pure: whether the weights are bfloat16 and to be rounded stochastically.

    Raises:
        UserError: bitsandbytes is asked for and not installed.
    """
    groups = decay_groups([parameter for parameter in parameters if parameter.requires_grad], optim.weight_decay)
    make = OPTIMIZERS[optim.optimizer].stepping(pure).make
    options: dict[str, Any] = {"lr": optim.lr, "betas": optim.betas, "eps": root_eps(optim)}
    return InBackward(groups, make, options) if steps_in_backward(optim) else make(groups, options)


def decay_groups(parameters: list[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices are decayed; vectors (norms, biases) are not, as in Hugging Face's Trainer.

    Weights on different meshes get groups of their own: fused operations don't mix them.
    """
    groups: dict[tuple[object, bool], list[nn.Parameter]] = {}
    for weight in parameters:
        mesh = weight.device_mesh if isinstance(weight, DTensor) else None
        shape = getattr(weight, "ds_shape", weight.shape)  # under ZeRO-3 a weight is empty here and knows its shape
        groups.setdefault((mesh, len(shape) >= 2), []).append(weight)
    return [
        {"params": weights, "weight_decay": weight_decay if decayed else 0.0}
        for (_, decayed), weights in groups.items()
    ]


class InBackward:
    """Steps each weight as soon as its gradient is complete and frees the gradient (Lv et al. 2023, LOMO).

    It looks like an optimizer; `armed` says that the coming backward pass is the last of the update.

    Attributes:
        optimizers: one a weight, for checkpoints.
        armed: whether gradients are applied as they come.
        bad: weights that were not stepped in this update because their gradient is NaN or infinite.
    """

    def __init__(self, groups: list[dict[str, Any]], make: OptimizerMaker, options: dict[str, Any]) -> None:
        self.armed = False
        self.bad = 0
        self._squares: list[Tensor] = []
        self._wide = WideGradients()
        self._of: dict[nn.Parameter, torch.optim.Optimizer] = {}
        for group in groups:
            for weight in group["params"]:
                self._of[weight] = make([{**group, "params": [weight], "number": len(self._of)}], options)
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
        self._wide.forget()
        for optimizer in self._of.values():
            optimizer.zero_grad()

    def _arrived(self, weight: Tensor) -> None:
        assert isinstance(weight, nn.Parameter)
        narrow = weight.dtype == torch.bfloat16
        if narrow:
            self._wide.add(weight)
        if not self.armed:
            return
        if narrow:
            self._wide.hand_over_one(weight)
        assert weight.grad is not None
        square = weight.grad.float().pow(2).sum()
        self._squares.append(square)
        if torch.isfinite(square):
            self._of[weight].step()
        else:
            self.bad += 1
        weight.grad = None
