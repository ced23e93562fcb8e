"""The loss: weighted cross-entropy at trained positions, with logits made in chunks."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

CHUNK = 2048  # positions whose logits exist at once: 2048 x 32,000 x 4 bytes = 250 MiB for LLaMA


def token_loss(
    hidden_TD: Tensor, lm_head: nn.Module, positions_N: Tensor, targets_N: Tensor, weights_N: Tensor
) -> Tensor:
    """Sum over trained positions of weight times cross-entropy, in nats.

    The sum, not the mean: the caller divides by the trained weight of the whole update, so the result
    does not depend on how the update was cut into micro-batches and processes.

    Args:
        hidden_TD: final hidden states.
        lm_head: maps (n, D) to (n, V) logits.
        positions_N: indices into T whose next token is trained.
        targets_N: that next token.
        weights_N: its share of the loss, 0..1.
    """
    if positions_N.numel() == 0:  # an empty share of an update still takes part in the collectives
        zero: Tensor = lm_head(hidden_TD[:1]).sum() * 0.0
        return zero
    chosen_ND = hidden_TD.index_select(0, positions_N)
    total = hidden_TD.new_zeros((), dtype=torch.float32)
    for hidden_nD, targets_n, weights_n in zip(
        torch.split(chosen_ND, CHUNK), torch.split(targets_N, CHUNK), torch.split(weights_N, CHUNK), strict=True
    ):
        total = total + checkpoint(_chunk_loss, hidden_nD, lm_head, targets_n, weights_n, use_reentrant=False)
    return total


def _chunk_loss(hidden_nD: Tensor, lm_head: nn.Module, targets_n: Tensor, weights_n: Tensor) -> Tensor:
    logits_nV = lm_head(hidden_nD).float()
    return (cross_entropy(logits_nV, targets_n, reduction="none") * weights_n).sum()
