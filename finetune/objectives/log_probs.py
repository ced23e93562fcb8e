"""Log-probabilities of answers, summed in float64: in float32 the sum of a long answer is off by 1e-5 of a loss.

Shapes: T tokens, N trained tokens, n of one chunk, A answers, D width, V vocabulary.
"""

import torch
from torch import Tensor, nn

from finetune.data.batches import MicroBatch
from finetune.objectives.next_token import position_chunks, widen


@torch.no_grad()
def answer_log_probs(hidden_TD: Tensor, lm_head: nn.Module, batch: MicroBatch, passes: int | None) -> Tensor:
    """Log-probability of each answer of a micro-batch, in nats; no gradient goes through it.

    Args:
        hidden_TD: final hidden states.
        lm_head: maps (n, D) to (n, V) logits.
        batch: holds answers.
        passes: see `token_loss`.

    Returns:
        (A,) float64.
    """
    assert batch.answers is not None
    positions_N, targets_N, owners_N = batch.trained, batch.targets, batch.answers.owners
    sums_A = torch.zeros(len(batch.answers.numbers) + 1, dtype=torch.float64, device=hidden_TD.device)
    if passes is not None:  # so many tokens of an answer that is left out in the end, that no chunk is empty
        positions_N, targets_N = (torch.cat([x_N, x_N.new_zeros(passes)]) for x_N in (positions_N, targets_N))
        owners_N = torch.cat([owners_N, owners_N.new_full((passes,), len(sums_A) - 1)])
    if not len(positions_N):
        return sums_A[:-1]
    chunks = position_chunks(positions_N, targets_N, owners_N, passes=passes)
    for positions_n, targets_n, owners_n in zip(*chunks, strict=True):
        logits_nV = widen(lm_head(hidden_TD.index_select(0, positions_n)))
        chances_n = logits_nV.gather(1, targets_n[:, None])[:, 0] - logits_nV.logsumexp(-1)
        sums_A.index_add_(0, owners_n, chances_n.double())
    return sums_A[:-1]
