"""The policy's loss of PPO and its kin: the advantage of each sampled token, times how much likelier it became.

The loss is a function of the tokens' log-probabilities, so its gradient is that of the token loss with each token
weighted by minus its slope, as in `policy.py`.

Shapes: N tokens of a micro-batch's answers, n some of them, A answers.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from finetune.data.batches import MicroBatch, PackedRow
from finetune.data.pieces import AnswerPieces
from finetune.data.token_data import TokenData
from finetune.llama.model import Head, Llama
from finetune.objectives.advantages import Doubles
from finetune.objectives.next_token import reweighted_loss, token_losses
from finetune.objectives.objective import UpdateShare

# What each counts the same: a token (PPO), an answer as the sum of its tokens (RLOO: the answer is one action), or an
# answer as their mean (GRPO, Shao et al. 2024, equation 3).
Weighing = Literal["token", "answer", "answer's mean"]


@dataclass
class ClippedPolicy:
    """-min(ratio A, clip(ratio) A) of each token (Schulman et al. 2017, equation 7), and a cost of leaving a reference.

    Attributes:
        pieces: of the answers that were sampled.
        log_probs: (tokens of all answers,) when they were sampled, nats.
        advantages: (tokens of all answers,).
        clip: how far the ratio counts.
        counts: what counts the same.
        kl: cost of a nat of exp(q) - q - 1, q = log-probability by the reference less the policy's (Schulman 2020,
            "k3"), in the loss rather than in the reward, as GRPO has it; 0 = none.
        reference: (tokens of all answers,) log-probabilities by the reference, which `kl` wants.
    """

    pieces: AnswerPieces
    log_probs: Doubles
    advantages: Doubles
    clip: float
    counts: Weighing = "token"
    kl: float = 0.0
    reference: Doubles | None = None
    _seen: list[Tensor] = field(default_factory=list)

    def divisor(self, data: TokenData, documents: PackedRow) -> float:
        numbers = self.pieces.numbers(documents)
        return float(self.pieces.answers[numbers].sum() if self.counts == "token" else numbers.size)

    def before(self, share: UpdateShare) -> None:
        self._seen = []

    def around(self, model: Llama, batch: MicroBatch) -> AbstractContextManager[None]:
        return nullcontext()

    def head(self, batch: MicroBatch, passes: int | None) -> Head:
        return partial(self._loss, batch=batch, passes=passes)

    def facts(self, total: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Over the tokens: share of those whose ratio no longer counts, mean ratio, and how far the policy has moved
        from the one that sampled (k3), nats a token."""
        clipped, ratio, moved, count = total(torch.stack(self._seen).sum(0)).tolist()
        return {"clip_share": clipped / count, "ratio": ratio / count, "moved": moved / count}

    def _loss(self, hidden_TD: Tensor, lm_head: nn.Module, batch: MicroBatch, passes: int | None) -> Tensor:
        """() the sum over the micro-batch, with the gradient of the weighted token loss."""
        if not torch.is_grad_enabled():  # it is only measured
            return self._noted(token_losses(hidden_TD, lm_head, batch, passes), batch)
        losses_N, moved = reweighted_loss(hidden_TD, lm_head, batch, partial(self._slopes, batch=batch), passes)
        return self._noted(losses_N, batch) + (moved - moved.detach())

    def _slopes(self, losses_n: Tensor, part: slice, batch: MicroBatch) -> Tensor:
        """(n,) of the loss along the tokens' own, which are some of the micro-batch's."""
        with torch.enable_grad():
            now_n = (-losses_n.detach().double()).requires_grad_()
            [slopes_n] = torch.autograd.grad(self._terms(now_n, part, batch)[0].sum(), now_n)
        return -slopes_n.to(losses_n.dtype)

    @torch.no_grad()
    def _noted(self, losses_N: Tensor, batch: MicroBatch) -> Tensor:
        """() the sum over the micro-batch, noted for `facts`."""
        now_N = -losses_N.double()
        terms_N, clipped_N, ratio_N, moved_N = self._terms(now_N, slice(0, len(now_N)), batch)
        facts = (clipped_N.double(), ratio_N, moved_N, torch.ones_like(ratio_N))
        self._seen.append(torch.stack([each.sum() for each in facts]))
        return terms_N.sum()

    def _terms(self, now_n: Tensor, part: slice, batch: MicroBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of each token, from its log-probability: the loss, whether it is clipped, the ratio, and how far it moved."""
        assert batch.answers is not None
        places = self.pieces.token_places(batch.answers.numbers)[part]

        def known(values: Doubles) -> Tensor:
            return torch.from_numpy(values[places]).to(now_n.device)

        advantages_n, gained_n = known(self.advantages), now_n - known(self.log_probs)
        ratio_n = gained_n.exp()
        plain_n, clipped_n = ratio_n * advantages_n, ratio_n.clamp(1 - self.clip, 1 + self.clip) * advantages_n
        losses_n = -torch.minimum(plain_n, clipped_n)
        if self.kl:
            assert self.reference is not None
            further_n = known(self.reference) - now_n
            losses_n = losses_n + self.kl * (further_n.exp() - further_n - 1)
        if self.counts == "answer's mean":
            losses_n = losses_n / batch.answers.tokens.double()[batch.answers.owners[part]]
        return losses_n, plain_n > clipped_n, ratio_n, ratio_n - gained_n - 1


def by_token(values_A: Doubles, pieces: AnswerPieces) -> Doubles:
    """(tokens of all answers,) of each token what is known of its answer."""
    return np.asarray(values_A.repeat(pieces.answers))
