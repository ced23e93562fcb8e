"""Documents cut over processes that train on them together: which tokens of a micro-batch each has, and what it sees.

Causal attention costs a token as much as stands before it. So each document is cut in twice as many parts as there are
processes, and a process has one from its beginning and the mirrored one from its end (Llama 3, Dubey et al. 2024,
section 3.3.2), documents that are packed together each by itself:

    2 processes   | 0   | 1   | 1   | 0   |     of every document
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed

from finetune.llama.attention import Documents
from finetune.llama.gathered_keys import GatheredKeys

Piece = tuple[int, int, int]  # first token of its document, its own first token, and the one behind its last


@dataclass(frozen=True)
class ContextShare:
    """One process's place among those that share documents.

    Attributes:
        group: the processes.
        rank, size: which of how many.
    """

    group: distributed.ProcessGroup
    rank: int
    size: int

    def filler(self, tokens: int) -> list[int]:
        """The document that fills a micro-batch up, so that all processes have as many tokens."""
        return [self.size - tokens % self.size] if tokens % self.size else []

    def cut(
        self, lengths: Sequence[int], device: torch.device, window: int | None = None
    ) -> tuple[npt.NDArray[np.int64], Documents]:
        """This process's tokens, by their places in the micro-batch, and where its pieces lie and what they see.

        Args:
            lengths: of the documents, the filler with them.
            device: where the tensors go.
            window: see `Documents`.
        """
        all_pieces = cut_documents(lengths, self.size)
        own = [np.concatenate([np.arange(start, end) for _, start, end in pieces]) for pieces in all_pieces]
        assert len({each.size for each in own}) == 1, "as many tokens on each process"
        place_of = np.empty(sum(lengths), dtype=np.int64)
        place_of[np.concatenate(own)] = np.arange(place_of.size)
        pieces = all_pieces[self.rank]
        keys = [end - document for document, _, end in pieces]
        places = np.concatenate([place_of[document:end] for document, _, end in pieces])
        documents = Documents.from_lengths([end - start for _, start, end in pieces], device, window)
        bounds = torch.tensor([0, *keys]).cumsum(0).to(torch.int32)
        gathered = GatheredKeys(torch.from_numpy(places).to(device), bounds.to(device), self.group)
        return own[self.rank], Documents(documents.lengths, documents.starts, max(keys), window, gathered=gathered)


def cut_documents(lengths: Sequence[int], size: int) -> list[list[Piece]]:
    """The pieces of each process, in order; as many tokens each, to one.

    Args:
        lengths: of the documents, back to back.
        size: processes.
    """
    pieces: list[list[Piece]] = [[] for _ in range(size)]
    tokens = [0] * size
    first = 0
    for length in lengths:
        each, over = divmod(length, 2 * size)
        parts = [each] * (2 * size)
        for _ in range(over):  # one token more for whoever has fewest, in its first part and then in its last
            rank = min(range(size), key=lambda index: (tokens[index] + _held(parts, index), index))
            parts[rank if parts[rank] == each else -1 - rank] += 1
        bounds = np.cumsum([first, *parts]).tolist()
        for part, (start, end) in enumerate(pairwise(bounds)):
            rank = min(part, 2 * size - 1 - part)
            tokens[rank] += end - start
            if end > start:
                pieces[rank].append((first, start, end))
        first += length
    return pieces


def _held(parts: Sequence[int], rank: int) -> int:
    """Tokens of a document that a process has."""
    return parts[rank] + parts[-1 - rank]
