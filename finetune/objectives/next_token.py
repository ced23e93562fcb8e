"""The next token: weighted cross-entropy at trained positions, with logits made in chunks.

Shapes: T tokens, N trained positions, n of one chunk, D width, V vocabulary.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax
from torch.utils.checkpoint import checkpoint

from finetune.data.batches import MicroBatch
from finetune.data.token_data import TokenData
from finetune.llama.linear import Linear, product, transposed_product
from finetune.llama.model import Head, Llama
from finetune.objectives.neftune import noisy_embeddings
from finetune.objectives.objective import UpdateShare

# What tokens count, from their losses, (n,), and where these lie among those of all trained positions.
Weigh = Callable[[Tensor, slice], Tensor]
CHUNK = 2048  # positions whose logits exist at once: 2048 x 32,000 x 4 bytes = 250 MiB for LLaMA


@dataclass(frozen=True)
class NextToken:
    """The objective of pre-training and of supervised fine-tuning: nats per unit of trained weight.

    Attributes:
        label_smoothing: see `token_loss`.
        neftune: alpha of NEFTune's noise on the embeddings; 0 = none.
    """

    label_smoothing: float = 0.0
    neftune: float = 0.0

    def divisor(self, data: TokenData, documents: npt.NDArray[np.int64]) -> float:
        return data.trained_weight(documents)

    def before(self, share: UpdateShare) -> None:
        """Nothing needs to be known."""

    def around(self, model: Llama, batch: MicroBatch) -> AbstractContextManager[None]:
        return noisy_embeddings(model, batch.documents.lengths, self.neftune) if self.neftune else nullcontext()

    def head(self, batch: MicroBatch, passes: int | None) -> Head:
        return partial(
            token_loss,
            positions_N=batch.trained,
            targets_N=batch.targets,
            weights_N=batch.weights,
            label_smoothing=self.label_smoothing,
            passes=passes,
        )

    def facts(self, total: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """The loss says it all."""
        return {}


def token_loss(
    hidden_TD: Tensor,
    lm_head: nn.Module,
    positions_N: Tensor,
    targets_N: Tensor,
    weights_N: Tensor,
    label_smoothing: float = 0.0,
    passes: int | None = None,
) -> Tensor:
    """Sum over trained positions of weight times cross-entropy, in nats.

    The sum, not the mean: the caller divides by the trained weight of the whole update, so the result
    does not depend on how the update was cut into micro-batches and processes.

    Args:
        hidden_TD: final hidden states.
        lm_head: maps (n, D) to (n, V) logits.
        positions_N: indices into T whose next token is trained.
        targets_N: that next token.
        weights_N: its share of the loss: 0..1, or any number where it is the slope of a loss of log-probabilities.
        label_smoothing: share of the target's probability that is spread evenly over the vocabulary (Szegedy et al.
            2016, section 7).
        passes: how often the output layer is called, the same on every process, where each call is a collective
            operation (ZeRO-3); None calls it as often as its chunks need.
    """
    if passes is not None:  # so many positions that count nothing, that no chunk is empty
        positions_N, targets_N = (torch.cat([x_N, x_N.new_zeros(passes)]) for x_N in (positions_N, targets_N))
        weights_N = torch.cat([weights_N, weights_N.new_zeros(passes)])
    if positions_N.numel() == 0:  # an empty share of an update still takes part in the collectives
        zero: Tensor = lm_head(hidden_TD[:1]).sum() * 0.0
        return zero
    chosen_ND = hidden_TD.index_select(0, positions_N)
    if torch.is_grad_enabled() and _is_plain(lm_head):
        total: Tensor = _LinearLoss.apply(  # type: ignore[no-untyped-call]
            chosen_ND, lm_head.weight, targets_N, lambda _, part: weights_N[part], label_smoothing
        )[1]
        return total
    total = hidden_TD.new_zeros((), dtype=wide_dtype(hidden_TD))
    chunks = position_chunks(chosen_ND, targets_N, weights_N, passes=passes)
    for hidden_nD, targets_n, weights_n in zip(*chunks, strict=True):
        total = total + checkpoint(
            _chunk_loss, hidden_nD, lm_head, targets_n, weights_n, label_smoothing, use_reentrant=False
        )
    return total


def reweighted_loss(
    hidden_TD: Tensor, lm_head: nn.Module, batch: MicroBatch, weigh: Weigh, passes: int | None
) -> tuple[Tensor, Tensor]:
    """As `token_loss`, with weights that depend on the losses: no logits are made twice where that can be.

    Args:
        hidden_TD: final hidden states.
        lm_head: maps (n, D) to (n, V) logits.
        batch: its trained positions and targets.
        weigh: gives the weights, through which no gradient goes.
        passes: as of `token_loss`.

    Returns:
        (N,) cross-entropy of each trained token, without gradients, and the weighted sum.
    """
    if passes is None and batch.trained.numel() and _is_plain(lm_head):
        chosen_ND = hidden_TD.index_select(0, batch.trained)
        both: tuple[Tensor, Tensor] = _LinearLoss.apply(chosen_ND, lm_head.weight, batch.targets, weigh, 0.0)  # type: ignore[no-untyped-call]
        return both
    losses_N = token_losses(hidden_TD.detach(), lm_head, batch, passes)
    weights_N = weigh(losses_N, slice(0, len(losses_N)))
    return losses_N, token_loss(hidden_TD, lm_head, batch.trained, batch.targets, weights_N, passes=passes)


@torch.no_grad()
def token_losses(hidden_TD: Tensor, lm_head: nn.Module, batch: MicroBatch, passes: int | None = None) -> Tensor:
    """(N,) cross-entropy of each trained token in nats, as wide as `wide_dtype`, without gradients.

    Args:
        hidden_TD: final hidden states.
        lm_head: maps (n, D) to (n, V) logits.
        batch: its trained positions and targets.
        passes: as of `token_loss`.
    """
    positions_N, targets_N = batch.trained, batch.targets
    if passes is not None:
        positions_N, targets_N = (torch.cat([x_N, x_N.new_zeros(passes)]) for x_N in (positions_N, targets_N))
    if positions_N.numel() == 0:
        lm_head(hidden_TD[:1])  # an empty share still takes part in the collectives
        return hidden_TD.new_zeros(0, dtype=wide_dtype(hidden_TD))
    chosen_ND = hidden_TD.index_select(0, positions_N)
    losses = [
        cross_entropy(widen(lm_head(hidden_nD)), targets_n, reduction="none")
        for hidden_nD, targets_n in zip(*position_chunks(chosen_ND, targets_N, passes=passes), strict=True)
    ]
    return torch.cat(losses)[: batch.trained.numel()]


def wide_dtype(values: Tensor) -> torch.dtype:
    """What sums over such numbers are made in: float64 of float64, else float32."""
    return torch.promote_types(values.dtype, torch.float32)


def widen(logits_nV: Tensor) -> Tensor:
    """The same numbers in `wide_dtype`."""
    return logits_nV.to(wide_dtype(logits_nV))


def _is_plain(lm_head: nn.Module) -> bool:
    """Whether the output layer is one matrix that is here as a whole: no adapter, no shard (ZeRO-3, DTensor)."""
    weight = getattr(lm_head, "weight", None)
    whole = type(weight) is nn.Parameter and not hasattr(weight, "ds_id")
    return whole and type(lm_head) in (nn.Linear, Linear) and lm_head.bias is None


def position_chunks(*tensors: Tensor, passes: int | None = None) -> list[tuple[Tensor, ...]]:
    """The chunks of each tensor, whose first dimension is trained positions; as many as `passes` says."""
    if passes is not None:
        return [torch.tensor_split(tensor, passes) for tensor in tensors]
    return [torch.split(tensor, CHUNK) for tensor in tensors]


def _chunk_loss(
    hidden_nD: Tensor, lm_head: nn.Module, targets_n: Tensor, weights_n: Tensor, label_smoothing: float
) -> Tensor:
    logits_nV = widen(lm_head(hidden_nD))
    losses_n = cross_entropy(logits_nV, targets_n, reduction="none", label_smoothing=label_smoothing)
    return (losses_n * weights_n).sum()


class _LinearLoss(torch.autograd.Function):
    """The loss and its gradients in one pass over the chunks, so that no logits are computed twice.

    The gradient of cross-entropy is softmax - target, at hand as soon as the logits are. The idea is that of Liger
    Kernel (Hsu et al. 2024, section 3.2, FusedLinearCrossEntropy).
    """

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: Tensor, matrix_VD: Tensor, targets_N: Tensor, weigh: Weigh, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        wide = wide_dtype(hidden_ND)
        losses_N = torch.empty(len(hidden_ND), dtype=wide, device=hidden_ND.device)
        total = torch.zeros((), dtype=wide, device=hidden_ND.device)
        grad_ND = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        grad_VD = torch.zeros_like(matrix_VD, dtype=wide) if ctx.needs_input_grad[1] else None
        cast_VD = matrix_VD.to(hidden_ND.dtype)  # once, not for every chunk
        for start in range(0, len(hidden_ND), CHUNK):
            part = slice(start, start + CHUNK)
            hidden_nD, targets_n = hidden_ND[part], targets_N[part]
            logs_nV = log_softmax(product(hidden_nD, cast_VD), -1, dtype=wide)
            aimed_n1 = logs_nV.gather(1, targets_n[:, None])
            if smoothing:
                aimed_n1 = (1 - smoothing) * aimed_n1 + smoothing * logs_nV.mean(-1, keepdim=True)
            losses_N[part] = -aimed_n1[:, 0]
            weights_n = weigh(losses_N[part], part)
            total += (losses_N[part] * weights_n).sum()
            slope_nV = logs_nV.exp_()
            slope_nV[torch.arange(len(targets_n), device=targets_n.device), targets_n] -= 1.0 - smoothing
            if smoothing:
                slope_nV -= smoothing / slope_nV.shape[-1]
            slope_nV = slope_nV.mul_(weights_n[:, None]).to(hidden_nD.dtype)
            if grad_ND is not None:
                grad_ND[part] = product(slope_nV, cast_VD.T)
            if grad_VD is not None:
                grad_VD += transposed_product(slope_nV, hidden_nD)
        ctx.save_for_backward(grad_ND, grad_VD)
        ctx.mark_non_differentiable(losses_N)
        return losses_N, total

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        scaled = [None if grad is None else grad * grads[1] for grad in ctx.saved_tensors]
        return *scaled, None, None, None
