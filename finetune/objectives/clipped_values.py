"""The critic's loss: squares of what it expects before each token less what came, clipped as PPO's (Schulman et al.).

The paper has no clipped value loss; this one is that of OpenAI's baselines (`ppo2`), as in the whole field.

Shapes: T tokens, N of them in answers, D width.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from finetune.data.batches import MicroBatch, PackedRow
from finetune.data.pieces import AnswerPieces
from finetune.data.token_data import TokenData
from finetune.llama.model import Head, Llama
from finetune.objectives.advantages import Doubles
from finetune.objectives.objective import UpdateShare
from finetune.objectives.reward import scores_at


def token_values(hidden_TD: Tensor, score: nn.Module, batch: MicroBatch) -> Tensor:
    """(N,) what a critic expects before each token of the answers, read where it is predicted from."""
    return scores_at(hidden_TD, score, batch.trained)


@dataclass
class ClippedValues:
    """Half the square of value - return, or of the clipped value - return where that is more; a token counts 1.

    Attributes:
        pieces: of the answers that were sampled.
        values: (tokens of all answers,) what the critic expected when they were sampled.
        returns: (tokens of all answers,) what came.
        clip: how far a value may move from what it was.
    """

    pieces: AnswerPieces
    values: Doubles
    returns: Doubles
    clip: float
    _seen: list[Tensor] = field(default_factory=list)

    def divisor(self, data: TokenData, documents: PackedRow) -> float:
        return float(self.pieces.answers[self.pieces.numbers(documents)].sum())

    def before(self, share: UpdateShare) -> None:
        self._seen = []

    def around(self, model: Llama, batch: MicroBatch) -> AbstractContextManager[None]:
        return nullcontext()

    def head(self, batch: MicroBatch, passes: int | None) -> Head:
        return partial(self._loss, batch=batch)

    def facts(self, total: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Share of the values that were clipped."""
        clipped, count = total(torch.stack(self._seen).sum(0)).tolist()
        return {"value_clip_share": clipped / count}

    def _loss(self, hidden_TD: Tensor, score: nn.Module, batch: MicroBatch) -> Tensor:
        """() the sum over the micro-batch, float64."""
        assert batch.answers is not None
        places = self.pieces.token_places(batch.answers.numbers)
        now_N = token_values(hidden_TD, score, batch).double()
        old_N, returns_N = (torch.from_numpy(each[places]).to(now_N.device) for each in (self.values, self.returns))
        near_N = torch.clamp(now_N, old_N - self.clip, old_N + self.clip)
        plain_N, clipped_N = (now_N - returns_N).square(), (near_N - returns_N).square()
        with torch.no_grad():
            facts = ((clipped_N > plain_N).double(), torch.ones_like(now_N))
            self._seen.append(torch.stack([each.sum() for each in facts]))
        return 0.5 * torch.maximum(plain_N, clipped_N).sum()
