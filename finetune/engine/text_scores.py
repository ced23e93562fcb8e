"""What a model knows of texts, source by source: nats a token, perplexity, bits a byte.

Bits a byte do not depend on the vocabulary: nats of the tokens that stand for text, over its UTF-8 bytes. Control
tokens, such as that which ends a text, count for loss and perplexity alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from conversations.tokens.token_bytes import implicit_bytes, token_bytes
from finetune.data.batches import MicroBatch, PackedRow, make_micro_batch
from finetune.data.token_data import TokenData
from finetune.llama.model import Head
from finetune.objectives.next_token import token_losses

Score = Callable[[MicroBatch, Head], Tensor]  # a forward pass without gradients; returns what the head makes


@dataclass(frozen=True)
class TextScore:
    """Of all documents of a source.

    Attributes:
        tokens: trained ones that were predicted.
        loss: nats a token, each with its weight.
        bits_per_byte: of those that stand for text; None where none does.
    """

    tokens: int
    loss: float
    bits_per_byte: float | None

    @property
    def perplexity(self) -> float:
        """Infinite where it is beyond a float."""
        return math.exp(self.loss) if self.loss < 700 else math.inf

    def to_json(self) -> dict[str, float | None]:
        perplexity = self.perplexity if math.isfinite(self.perplexity) else None
        return {"loss": self.loss, "perplexity": perplexity, "bits_per_byte": self.bits_per_byte}


class TextBytes:
    """Bytes of text that tokens stand for.

    Args:
        tokenizer: a Hugging Face fast tokenizer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._sizes = token_bytes(tokenizer)
        self._implicit = implicit_bytes(tokenizer, self._sizes)
        self._begin = tokenizer.bos_token_id

    def of_targets(self, batch: MicroBatch) -> npt.NDArray[np.int64]:
        """(N,) bytes of each trained token of a batch; that behind a BOS token without the tokenizer's own blank."""
        targets, before = batch.targets.cpu().numpy(), batch.input_ids[batch.trained].cpu().numpy()
        sizes = np.append(self._sizes, np.zeros(max(0, int(targets.max(initial=0)) + 1 - self._sizes.size), np.int64))
        found = sizes[targets]
        return np.asarray(found - np.where((before == self._begin) & (found > 0), self._implicit, 0))

    def are_text(self, batch: MicroBatch) -> npt.NDArray[np.bool_]:
        """(N,) whether each trained token stands for text at all."""
        targets = batch.targets.cpu().numpy()
        return np.asarray((targets < self._sizes.size) & (self._sizes[np.minimum(targets, self._sizes.size - 1)] > 0))


# Columns of the sums of a source: weights, weighted nats, tokens, weighted nats and bytes of those that are text.
COLUMNS = 5


def score_sources(
    data: TokenData,
    micro_rows: Sequence[Sequence[PackedRow]],
    score: Score,
    text: TextBytes,
    device: torch.device,
    passes: int | None = None,
) -> npt.NDArray[np.float64]:
    """Sums over this process's share, for `text_scores`.

    Args:
        data: all documents.
        micro_rows: sequences of each micro-batch.
        score: a forward pass.
        text: bytes of tokens.
        device: where batches go.
        passes: see `token_losses`.

    Returns:
        (sources + 1, 5); the last row is of documents whose source is not known.
    """
    sums = np.zeros((len(data.sources) + 1, COLUMNS))
    for rows in micro_rows:
        batch = make_micro_batch(data, rows, device)
        losses_N = score(batch, partial(token_losses, batch=batch, passes=passes)).double().cpu().numpy()
        if batch.numbers.size:
            np.add.at(sums, _source_of_targets(data, batch), _columns(batch, losses_N, text))
    return sums


def _columns(batch: MicroBatch, losses_N: npt.NDArray[np.float64], text: TextBytes) -> npt.NDArray[np.float64]:
    weights_N = batch.weights.cpu().numpy().astype(np.float64)
    nats_N, is_text_N, bytes_N = weights_N * losses_N, text.are_text(batch), text.of_targets(batch)
    columns = [weights_N, nats_N, np.ones_like(nats_N), np.where(is_text_N, nats_N, 0.0), weights_N * bytes_N]
    return np.stack(columns, axis=1)


def _source_of_targets(data: TokenData, batch: MicroBatch) -> npt.NDArray[np.int64]:
    ends = np.cumsum(batch.documents.lengths)
    document_N = np.searchsorted(ends, batch.trained.cpu().numpy(), "right")
    return data.sources_of(batch.numbers)[document_N]


def text_scores(sources: Sequence[str], sums: npt.NDArray[np.float64]) -> dict[str, TextScore]:
    """The scores of each source that has documents, by its name.

    Args:
        sources: their names.
        sums: from `score_sources`, over all processes.
    """
    return {name: text_score(row) for name, row in zip(sources, sums, strict=False) if row[0] > 0}


def text_score(row: npt.NDArray[np.float64]) -> TextScore:
    """The score of a row of those sums, or of the sum of several."""
    weight, nats, tokens, text_nats, size = row.tolist()
    return TextScore(int(tokens), nats / weight, text_nats / math.log(2) / size if size > 0 else None)
