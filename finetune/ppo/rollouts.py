"""Answers that a policy has sampled, as data to train on: prompts once, each with its answers behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from finetune.data.batches import PackedRow
from finetune.data.packing import Ints
from finetune.data.pieces import AnswerPieces
from finetune.data.preference_documents import SHARE, EncodedAnswers, lay_out, shares_prompt
from finetune.data.token_data import TokenData
from finetune.data.token_store import TokenStore
from finetune.objectives.advantages import Doubles


@dataclass(frozen=True)
class SampledText:
    """An answer as it was sampled.

    Attributes:
        ids: its tokens, the end token included if it came to its end.
        text: what they say.
        finished: whether it came to its end.
        log_probs: of each token by the sampler, nats.
    """

    ids: tuple[int, ...]
    text: str
    finished: bool
    log_probs: tuple[float, ...]


@dataclass(frozen=True)
class RollOuts:
    """The answers of an iteration, and what was known of them before the first update.

    Attributes:
        prompts: (P,) int64 places of the prompts among those that are trained on; each has as many answers.
        ids: (N,) int64 tokens of all answers, back to back.
        lengths: (A,) int64 tokens of each answer.
        finished: (A,) bool whether it came to its end.
        scores: (A,) what each is worth by the rewards, before whitening and penalties.
        log_probs: (N,) by the policy that sampled them, recomputed by our forward pass.
        reference: (N,) by the model that training starts from.
        values: (N,) what the critic expected before each token; empty without a critic.
        beta: cost of a nat in this iteration.
    """

    prompts: Ints
    ids: Ints
    lengths: Ints
    finished: npt.NDArray[np.bool_]
    scores: Doubles
    log_probs: Doubles
    reference: Doubles
    values: Doubles
    beta: float

    @property
    def answers(self) -> int:
        """To each prompt."""
        return self.lengths.size // self.prompts.size

    def to_bytes(self) -> bytes:
        """To the bit, for a checkpoint."""
        content = BytesIO()
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in vars(self).items()}
        np.savez(content, **arrays)
        return content.getvalue()

    @staticmethod
    def from_bytes(content: bytes) -> "RollOuts":
        with np.load(BytesIO(content)) as arrays:
            return RollOuts(
                **{name: arrays[name] for name in arrays.files if name != "beta"}, beta=float(arrays["beta"])
            )


def rollout_data(
    prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], longest: int, share_from: float = SHARE
) -> TokenData:
    """The documents: each prompt with its answers.

    Args:
        prompts: token ids.
        answers: of all prompts in turn, as many of each; token ids, at least one.
        longest: most tokens of a document whose prompt is shared.
        share_from: see `shares_prompt`.
    """
    count = len(answers) // len(prompts)
    laid = []
    for number, prompt in enumerate(prompts):
        own = tuple(np.array(ids, np.int32) for ids in answers[number * count : (number + 1) * count])
        encoded = EncodedAnswers(np.array(prompt, np.int32), own)
        laid.append(lay_out(encoded, shares_prompt(encoded, longest, share_from)))
    lengths = np.array([ids.size for ids, _, _ in laid], dtype=np.int64)
    parts = [zip(before, behind, strict=True) for _, before, behind in laid]
    trained = [np.full(size, of, np.float32) for part in parts for both in part for of, size in enumerate(both)]
    store = TokenStore(np.concatenate([ids for ids, _, _ in laid]), np.concatenate(trained), 0)
    everything = np.arange(len(prompts))
    pieces = AnswerPieces(
        first=count * np.arange(len(prompts) + 1),
        prompts=np.array([size for _, before, _ in laid for size in before], dtype=np.int64),
        answers=np.array([size for _, _, behind in laid for size in behind], dtype=np.int64),
    )
    starts = lengths.cumsum() - lengths
    return TokenData((store,), starts, lengths, np.unique(store.ids), everything, everything[:0], [], pieces=pieces)


@dataclass(frozen=True)
class RollOutPlan:
    """Which roll-outs each update of an iteration trains on; see `UpdatePlan`.

    Attributes:
        data: the documents.
        capacity: no document has more tokens.
        seed: of the run.
        first: updates of the run before this iteration.
        prompts: documents of an update.
    """

    data: TokenData
    capacity: int
    seed: int
    first: int
    prompts: int

    def rows(self, update: int) -> list[PackedRow]:
        """The sequences of an update, a document each, the longest first: processes then compute about as much."""
        begin = (update - self.first) * self.prompts
        documents = self.data.training[begin : begin + self.prompts]
        return sorted(documents[:, None], key=lambda row: -int(self.data.lengths[row[0]]))
