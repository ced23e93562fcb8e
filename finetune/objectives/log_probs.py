"""Log-probabilities of answers, summed in float64: in float32 the sum of a long answer is off by 1e-5 of a loss.

Shapes: T tokens, N trained tokens, A answers, D width, V vocabulary.
"""

import torch
from torch import Tensor, nn

from finetune.data.batches import MicroBatch
from finetune.objectives.next_token import position_chunks, token_losses, widen


@torch.no_grad()
def answer_log_probs(hidden_TD: Tensor, lm_head: nn.Module, batch: MicroBatch, passes: int | None) -> Tensor:
    """Log-probability of each answer of a micro-batch, in nats; no gradient goes through it.

    Args:
        hidden_TD: final hidden states.
        lm_head: maps (N, D) to (N, V) logits.
        batch: holds answers.
        passes: see `token_loss`.

    Returns:
        (A,) float64.
    """
    assert batch.answers is not None
    losses_N = token_losses(hidden_TD, lm_head, batch, passes)
    sums_A = torch.zeros(len(batch.answers.numbers), dtype=torch.float64, device=hidden_TD.device)
    return sums_A.index_add_(0, batch.answers.owners, -losses_N.double())


@torch.no_grad()
def token_log_probs(hidden_TD: Tensor, lm_head: nn.Module, batch: MicroBatch, passes: int | None) -> Tensor:
    """(N,) float64 log-probability of each token of the answers, nats; arguments as of `answer_log_probs`."""
    return -token_losses(hidden_TD, lm_head, batch, passes).double()


@torch.no_grad()
def token_surprises(hidden_TD: Tensor, lm_head: nn.Module, batch: MicroBatch) -> Tensor:
    """(N, 3) float64: log-probability of each token of the answers, and what was to be expected of it.

    That is the entropy of the distribution it was drawn from, the mean of -log p, and the variance of log p.
    """
    found = []
    for places_n, targets_n in zip(*position_chunks(batch.trained, batch.targets), strict=True):
        logs_nV = widen(lm_head(hidden_TD.index_select(0, places_n))).log_softmax(-1)
        expected_nV = logs_nV.exp().mul_(logs_nV)
        entropy_n = -expected_nV.sum(-1)
        variance_n = expected_nV.mul_(logs_nV).sum(-1) - entropy_n.square()
        own_n = logs_nV.gather(1, targets_n[:, None])[:, 0]
        found.append(torch.stack([own_n, entropy_n, variance_n], 1).double())
    if not batch.trained.numel():  # an empty share still reaches the layer, as all processes must
        lm_head(hidden_TD[:1])
        return hidden_TD.new_zeros(0, 3, dtype=torch.float64)
    return torch.cat(found)
