"""Log-probabilities of answers, summed in float64: in float32 the sum of a long answer is off by 1e-5 of a loss.

Shapes: T tokens, N trained tokens, A answers, D width, V vocabulary.
"""

import torch
from torch import Tensor, nn

from finetune.data.batches import MicroBatch
from finetune.objectives.next_token import token_losses


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
