"""Training data: files -> token ids and loss weights on disk, tokenised once, memory-mapped after."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.read import read_json
from camelid.files.system_errors import make_folder, naming_write_errors
from camelid.files.write import sync_folder, write_json
from camelid.message import Conversation
from conversations.tokens.split import split_conversation
from conversations.tokens.template import template_for
from conversations.tokens.tokenize import Encoder
from finetune.data.hold_out import content_hash, draw_held_out
from finetune.data.pieces import Pieces
from finetune.data.sources import check_sources, read_source, source_fingerprint
from finetune.recipe import DataSection, DataSource

# Number of the conversation, token ids, loss weights.
TokenizedDocument = tuple[int, npt.NDArray[np.int32], npt.NDArray[np.float32]]
FORMAT = 2  # raise it when the meaning of the cached arrays changes


@dataclass(frozen=True)
class TokenData:
    """All documents of a run, back to back.

    Attributes:
        ids: (tokens,) int32 token ids.
        weights: (tokens,) float32 loss weight of each token as a target; 0 = not trained. A document's first
            token has nothing before it to predict it from, so its weight is always 0.
        bounds: (documents + 1,) int64; document d is `ids[bounds[d]:bounds[d + 1]]`.
        training: (n,) int64 documents to train on.
        validation: (m,) int64 documents held out.
        ledgers: what became of every conversation that was read.
        pieces: of preferences, the prompt and the answers that each document is made of; None of anything else.
    """

    ids: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    bounds: npt.NDArray[np.int64]
    training: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    ledgers: list[Ledger]
    pieces: Pieces | None = None

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.bounds)

    @property
    def documents(self) -> int:
        return self.bounds.size - 1

    def trained_weight(self, documents: npt.NDArray[np.int64]) -> float:
        """Sum of the loss weights of some documents."""
        return float(self._weight_of[documents].sum())

    def trained_tokens(self, documents: npt.NDArray[np.int64]) -> int:
        """Number of trained tokens of some documents."""
        return sum(
            int(np.count_nonzero(self.weights[self.bounds[index] : self.bounds[index + 1]])) for index in documents
        )

    @cached_property
    def _weight_of(self) -> npt.NDArray[np.float64]:
        return np.add.reduceat(self.weights, self.bounds[:-1], dtype=np.float64)


def load_tokens(cache: Path, data: DataSection, tokenizer: Any, seed: int) -> TokenData:
    """Return the tokenised data, from the cache folder if it is there, else tokenise and fill the cache.

    The folder's name is a hash of everything the tokens depend on: the sources' content, their weights, the
    template, the tokenizer, the length and (for fractional weights) the seed.

    Args:
        cache: folder that holds one folder per distinct data set.
        data: the sources, the template, the longest document, and the share of the conversations that is held out,
            each with all its pieces and copies.
        tokenizer: a Hugging Face fast tokenizer.
        seed: picks the part of a source whose weight has a fraction, and what is held out.

    Raises:
        UserError: a source is missing or broken, or nothing in it can be trained on.
    """
    folder = cache / _key(data, tokenizer, seed)
    if not (folder / "facts.json").is_file():
        _fill(folder, data, tokenizer, seed)
    facts = read_json(folder / "facts.json")
    conversation = np.load(folder / "conversation.npy")
    if (folder / "content.npy").is_file():
        held_out = draw_held_out(np.load(folder / "content.npy"), conversation, seed, data.validation)
    else:  # a cache of version 0.2 or before: its run goes on with the parts it began with
        held_out = np.random.default_rng([seed, 1]).random(conversation[-1] + 1)[conversation] < data.validation
    training, held = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    if data.validation and not (training.size and held.size):
        raise UserError(
            f"data.validation = {data.validation}: too little data to hold out a part and train on the rest"
        )
    return TokenData(
        ids=np.memmap(folder / "ids.i32", np.int32, "r"),
        weights=np.memmap(folder / "weights.f32", np.float32, "r"),
        bounds=np.load(folder / "bounds.npy"),
        training=training,
        validation=held,
        ledgers=[Ledger.from_json(ledger) for ledger in facts["ledgers"]],
    )


def _key(data: DataSection, tokenizer: Any, seed: int) -> str:
    parts = [
        FORMAT,
        [(source_fingerprint(source), source.weight) for source in data.train],
        template_for(data.template, tokenizer).jinja,
        hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
        data.max_length,
        seed,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _conversations(sources: Sequence[DataSource], seed: int) -> Iterator[tuple[int, Conversation]]:
    """Number and content of every conversation, each as often as the weight of its source says."""
    number = 0
    for index, source in enumerate(sources):
        random = np.random.default_rng([seed, 2, index])
        for conversation in read_source(source):
            whole, fraction = divmod(source.weight, 1.0)
            for _ in range(int(whole) + (random.random() < fraction)):
                yield number, conversation
            number += 1


def _documents(data: DataSection, encoder: Encoder, seed: int, ledgers: list[Ledger]) -> Iterator[TokenizedDocument]:
    """Every document."""
    conversations, pieces = ledgers
    for number, conversation in _conversations(data.train, seed):
        conversations.keep()
        parts = split_conversation(conversation, encoder, data.max_length)
        if len(parts) > 1:
            conversations.repair("split at max_length")
        for part in parts:
            tokens = encoder.encode(part)
            # As Alpaca and FastChat: what does not fit is cut off, and with it the end-of-turn token.
            trained = tokens.weights[: data.max_length].copy()
            trained[0] = 0
            if not trained.any():
                pieces.drop("nothing to train on")
                continue
            pieces.keep()
            if len(tokens.ids) > data.max_length:
                pieces.repair("answer cut at max_length")
            yield number, tokens.ids[: data.max_length], trained


def _fill(folder: Path, data: DataSection, tokenizer: Any, seed: int) -> None:
    """Tokenise beside `folder`, document by document, then move it there at once."""
    encoder = Encoder(template_for(data.template, tokenizer), tokenizer)
    check_sources(data.train)
    ledgers = [Ledger("conversations"), Ledger("documents")]
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    make_folder(partial)
    try:
        with naming_write_errors(folder, "the tokens"):
            _write_documents(partial, _documents(data, encoder, seed, ledgers))
            write_json(partial / "facts.json", {"ledgers": [ledger.to_json() for ledger in ledgers]})
        if not ledgers[1].kept:
            names = ", ".join(source.path for source in data.train)
            raise UserError(f"data.train: {names}: no conversation has an assistant turn to train on")
        if not folder.is_dir():  # else another process was faster, with the same content
            partial.rename(folder)
            sync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_documents(folder: Path, documents: Iterable[TokenizedDocument]) -> None:
    """Ids and weights back to back, where each document ends, of which conversation it is, and a hash of its ids."""
    bounds, conversation, contents = [0], [], []
    with (folder / "ids.i32").open("wb") as ids_file, (folder / "weights.f32").open("wb") as weights_file:
        for number, ids, weights in documents:
            ids_file.write(ids.tobytes())
            weights_file.write(weights.tobytes())
            bounds.append(bounds[-1] + len(ids))
            conversation.append(number)
            contents.append(content_hash(ids))
    np.save(folder / "bounds.npy", np.array(bounds))
    np.save(folder / "conversation.npy", np.array(conversation))
    np.save(folder / "content.npy", np.array(contents, dtype=np.uint64))
