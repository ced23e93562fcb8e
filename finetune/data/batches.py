"""Which documents each update, process and micro-batch sees, and their tensors.

The order is a function of the seed, the epoch and the data alone, so every process computes the same plan
without talking to the others, and a resumed run finds its place in constant time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from finetune.data.packing import pack_documents
from finetune.data.pieces import AnswerPieces, answer_places
from finetune.data.scatter import scatter
from finetune.data.token_data import TokenData
from finetune.llama.attention import Documents, send
from finetune.llama.context_share import ContextShare
from finetune.recipe import DataSection, OptimSection, PreferenceDataSection

# Below it a warm-up of 3% is one update, and Adam's second moment (decay 0.999) has hardly seen anything.
FEW_UPDATES = 50
MOST_READ = 0.9  # of a micro-batch's tokens; where more are read, picking them costs more than the others would
PackedRow = npt.NDArray[np.int64]  # indices of the documents that share a sequence


class UpdatePlan(Protocol):
    """What an update asks of the order of a run; see `Plan`."""

    @property
    def data(self) -> TokenData: ...
    @property
    def capacity(self) -> int: ...
    @property
    def seed(self) -> int: ...

    def rows(self, update: int) -> list[PackedRow]:
        """The sequences of one update."""
        ...


class Plan:
    """The order of a run.

    Documents are dealt at random into blocks, the same in every epoch; in each epoch the blocks come in another order,
    and those of a block are shuffled and packed among themselves. So no more than a block is in memory, any update is
    found at once, and a set of no more than a block is shuffled and packed as a whole.

    Args:
        data: holds the documents to train on.
        section: `max_length`, the tokens of a sequence, and whether documents share sequences (`packing`).
        optim: `global_batch`, and `epochs` (a fraction stops within the last one) or `updates`, which overrides them.
        seed: of the order.

    Attributes:
        data: as given.
        capacity: tokens of a sequence.
        seed: as given; of the whole run.
        rows_per_epoch, updates_per_epoch, updates: sequences and updates of a pass, updates of the run.
    """

    def __init__(
        self, data: TokenData, section: DataSection | PreferenceDataSection, optim: OptimSection, seed: int
    ) -> None:
        self.data, self.capacity, self.seed = data, section.max_length, seed
        self._packing, self._global_batch = section.packing, optim.global_batch
        self._blocks = max(1, ceil(data.training.size / data.block))
        self._kept: dict[tuple[int, int], list[PackedRow]] = {}  # rows of the latest blocks, by epoch and block
        # Best-fit-decreasing depends on the lengths alone, so a block has the same number of rows in every epoch.
        self._rows_of_block = np.array([len(self._rows(0, block)) for block in range(self._blocks)])
        self.rows_per_epoch = int(self._rows_of_block.sum())
        self.updates_per_epoch = ceil(self.rows_per_epoch / optim.global_batch)
        self.updates = optim.updates if optim.updates is not None else ceil(optim.epochs * self.updates_per_epoch)

    def rows(self, update: int) -> list[PackedRow]:
        """The sequences of one update; the last update of an epoch may have fewer than `global_batch`."""
        epoch, within = divmod(update, self.updates_per_epoch)
        order = np.random.default_rng([self.seed, epoch, 0, 1]).permutation(self._blocks)
        ends = self._rows_of_block[order].cumsum()
        first, last = within * self._global_batch, (within + 1) * self._global_batch
        wanted = np.flatnonzero((ends > first) & (ends - self._rows_of_block[order] < last))
        found = [row for place in wanted for row in self._rows(epoch, int(order[place]))]
        before = int(ends[wanted[0]] - self._rows_of_block[order[wanted[0]]])
        rows = found[first - before : last - before]
        if self.data.pieces is None:
            return rows
        # Nothing fills these up: the longest first, so that what processes do at the same time is about as long.
        return sorted(rows, key=lambda row: -int(self.data.lengths[row].sum()))

    def _rows(self, epoch: int, block: int) -> list[PackedRow]:
        """The sequences of a block in an epoch, in order."""
        if (epoch, block) not in self._kept:
            rows = self._pack(epoch, block)
            self._kept = dict([*self._kept.items(), ((epoch, block), rows)][-2:])  # an update may lie in two
        return self._kept[epoch, block]

    def _pack(self, epoch: int, block: int) -> list[PackedRow]:
        random = np.random.default_rng([self.seed, epoch] if self._blocks == 1 else [self.seed, epoch, block])
        shuffled = random.permutation(self._documents(block))
        if not self._packing:
            return list(shuffled[:, None])
        rows = [shuffled[row] for row in pack_documents(self.data.lengths[shuffled], self.capacity)]
        return [rows[index] for index in random.permutation(len(rows))]

    def _documents(self, block: int) -> npt.NDArray[np.int64]:
        training, size = self.data.training, self.data.block
        if self._blocks == 1:
            return training
        places = np.arange(block * size, min((block + 1) * size, training.size))
        return training[scatter(places, training.size, self.seed)]


def warn_of_few_updates(updates: int, rows: int, optim: OptimSection) -> str | None:
    """What to change where a run makes too few updates to learn; None where it makes enough, or as many as asked for.

    Args:
        updates: of the run.
        rows: sequences of a pass.
        optim: batch and passes.
    """
    if updates >= FEW_UPDATES or optim.updates is not None:
        return None
    return (
        f"{updates} updates ({rows:,} sequences a pass / {optim.global_batch} an update x {optim.epochs:g} epochs) are "
        f"few to learn from; lower optim.global_batch, or raise optim.epochs (or optim.lr, with an adapter)"
    )


def validation_rows(data: TokenData, capacity: int) -> list[PackedRow]:
    """The held-out documents, packed."""
    return [data.validation[row] for row in pack_documents(data.lengths[data.validation], capacity)]


def micro_batches_of_rank(
    rows: Sequence[PackedRow], rank: int, processes: int, micro_batch: int
) -> list[Sequence[PackedRow]]:
    """The micro-batches of one process: every process gets the same number, some perhaps empty.

    An equal number keeps the collective operations of all processes in step.
    """
    count = ceil(ceil(len(rows) / processes) / micro_batch)
    mine = rows[rank::processes]
    return [mine[index * micro_batch : (index + 1) * micro_batch] for index in range(count)]


def split_micro_batch(
    rows: Sequence[PackedRow], lengths: npt.NDArray[np.int64], parts: int
) -> list[Sequence[PackedRow]]:
    """Cut a micro-batch between documents into at most `parts` pieces of about as many tokens each."""
    if parts == 1:
        return [rows]
    documents = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
    ends = lengths[documents].cumsum()
    piece = (ends - 1) * parts // ends[-1] if ends.size else ends  # of each document, by where it ends
    pieces = [documents[piece == number] for number in range(parts)]
    return [[documents] for documents in pieces if documents.size]


@dataclass(frozen=True)
class BatchAnswers:
    """The answers of a micro-batch, of which every token is trained.

    Attributes:
        numbers: (A,) which answers of the data they are.
        ends: (A,) int64 place in T of each answer's last token.
        owners: (N,) int64 which of the A answers each trained token belongs to.
        tokens: (A,) int64 tokens of each answer.
    """

    numbers: PackedRow
    ends: Tensor
    owners: Tensor
    tokens: Tensor


@dataclass(frozen=True)
class MicroBatch:
    """One micro-batch, flat: documents back to back, no padding.

    Attributes:
        numbers: (n,) which documents of the data it holds, in order; none in a batch that trains nothing.
        input_ids: (T,) int64.
        positions: (T,) int64, from 0 in each document.
        documents: where each document starts; attention never crosses.
        trained: (N,) int64 places in T whose next token is trained.
        targets: (N,) int64 that next token.
        weights: (N,) float32 its share of the loss.
        answers: of preferences, where each answer lies; None of anything else.
        read: (n,) int64 places in T, each once, that a loss or a score is read from; None for (nearly) all.
    """

    numbers: PackedRow
    input_ids: Tensor
    positions: Tensor
    documents: Documents
    trained: Tensor
    targets: Tensor
    weights: Tensor
    answers: BatchAnswers | None = None
    read: Tensor | None = None

    @property
    def tokens(self) -> int:
        return self.input_ids.numel()


@dataclass(frozen=True)
class BatchShape:
    """What compiled code wants to be the same of every micro-batch.

    Attributes:
        tokens: of the micro-batch; what its documents lack is filled up with documents that train nothing.
        longest: no document has more.
    """

    tokens: int
    longest: int

    def filler(self, used: int) -> list[int]:
        """Lengths of the documents that fill it up."""
        whole, rest = divmod(self.tokens - used, self.longest)
        return [self.longest] * whole + [rest] * (rest > 0)


def make_micro_batch(
    data: TokenData,
    rows: Sequence[PackedRow],
    device: torch.device,
    shape: BatchShape | None = None,
    share: ContextShare | None = None,
) -> MicroBatch:
    """Lay out the documents of some rows; no rows at all make a one-token batch that trains nothing.

    Args:
        data: holds the documents.
        rows: which of them, by sequences.
        device: where the tensors go.
        shape: what the batch is filled up to; None leaves it as it comes.
        share: which part of it this process has; None for all.
    """
    indices = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
    if data.pieces is not None:
        return make_answer_batch([data.document(int(index))[0] for index in indices], data.pieces, indices, device)
    held = [data.document(int(index)) for index in indices]
    if not held:
        held = [(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.float32))]
    lengths = [ids.size for ids, _ in held]
    filler = shape.filler(sum(lengths)) if shape else []
    filler += share.filler(sum(lengths) + sum(filler)) if share else []
    ids = np.concatenate([*(ids for ids, _ in held), np.zeros(sum(filler), dtype=np.int64)])
    weights = np.concatenate([weights for _, weights in held])
    positions = np.concatenate([np.arange(length) for length in (*lengths, *filler)])
    # A trained token is the target of the place before it; a document's first token is never trained.
    target_places = np.flatnonzero(weights)
    trained = target_places - 1
    if share is None:
        own, documents = np.arange(ids.size), Documents.from_lengths([*lengths, *filler], device)
    else:
        own, documents = share.cut([*lengths, *filler], device)
        place_of = np.full(ids.size, -1)
        place_of[own] = np.arange(own.size)
        here = place_of[trained] >= 0
        trained, target_places = place_of[trained[here]], target_places[here]
    return MicroBatch(
        numbers=indices,
        input_ids=_send(ids[own], device),
        positions=_send(positions[own], device),
        documents=replace(documents, longest=shape.longest) if shape else documents,
        trained=_send(trained, device),
        targets=_send(ids[target_places], device),
        weights=_send(weights[target_places], device),
        read=_read(trained, own.size, device),
    )


def _read(places: npt.NDArray[np.int64], tokens: int, device: torch.device) -> Tensor | None:
    return _send(places, device) if 0 < places.size <= MOST_READ * tokens else None


def _send(values: npt.NDArray[Any], device: torch.device) -> Tensor:
    return send(torch.from_numpy(values), device)


def make_answer_batch(
    held: Sequence[npt.NDArray[Any]], pieces: AnswerPieces, indices: PackedRow, device: torch.device
) -> MicroBatch:
    """Lay out prompts with their answers; none at all make a one-token batch that trains nothing.

    Args:
        held: the ids of each document.
        pieces: what the documents are made of.
        indices: (n,) which documents they are.
        device: where the tensors go.
    """
    ids = np.concatenate(held).astype(np.int64) if held else np.zeros(1, dtype=np.int64)
    numbers, places = pieces.numbers(indices), answer_places(pieces, indices)
    lengths = pieces.answers[numbers]
    begins = lengths.cumsum() - lengths  # of each answer among the trained tokens
    targets = np.arange(int(lengths.sum())) + (places.starts - begins).repeat(lengths)
    trained = targets - 1
    trained[begins] = places.before
    documents = Documents.from_prompts(pieces.groups(indices) or [(1, [])], device)

    return MicroBatch(
        numbers=indices,
        input_ids=_send(ids, device),
        positions=documents.positions(),
        documents=documents,
        trained=_send(trained, device),
        targets=_send(ids[targets], device),
        weights=torch.ones(targets.size, device=device),
        answers=BatchAnswers(
            numbers,
            _send(places.ends, device),
            _send(np.arange(lengths.size).repeat(lengths), device),
            _send(lengths, device),
        ),
        read=_read(np.union1d(trained, places.ends), ids.size, device),
    )
