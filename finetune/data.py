"""Training data: files -> token ids and loss weights on disk, tokenised once, memory-mapped after."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camelid.errors import UserError
from camelid.jsonl import file_hash, read_json, sync_folder, write_json
from camelid.ledger import Ledger
from conversations.message import Conversation
from conversations.readers import read_conversations
from conversations.split import split
from conversations.template import get_template
from conversations.tokenize import Encoder
from finetune.recipe import Source

FORMAT = 1  # raise it when the meaning of the cached arrays changes


@dataclass(frozen=True)
class TokenData:
    """All documents of a run, back to back.

    Attributes:
        ids: (tokens,) int32 token ids.
        weights: (tokens,) float32 loss weight of each token as a target; 0 = not trained. A document's first
            token has nothing before it to predict it from, so its weight is always 0.
        bounds: (documents + 1,) int64; document d is `ids[bounds[d]:bounds[d + 1]]`.
        ledgers: what became of every conversation that was read.
    """

    ids: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    bounds: npt.NDArray[np.int64]
    ledgers: list[Ledger]

    @property
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


def load_tokens(
    cache: Path, sources: Sequence[Source], template: str, tokenizer: Any, max_length: int, seed: int
) -> TokenData:
    """Return the tokenised data, from the cache folder if it is there, else tokenise and fill the cache.

    The folder's name is a hash of everything the tokens depend on: the files' bytes, their weights, the
    template, the tokenizer, the length and (for fractional weights) the seed.

    Args:
        cache: folder that holds one folder per distinct data set.
        sources: the files and how often each is used.
        template: template name.
        tokenizer: a Hugging Face fast tokenizer.
        max_length: longest document, tokens.
        seed: picks the part of a source whose weight has a fraction.

    Raises:
        UserError: a file is missing or broken, or nothing in it can be trained on.
    """
    folder = cache / _key(sources, template, tokenizer, max_length, seed)
    if not (folder / "facts.json").is_file():
        _write(folder, *_tokenise(sources, template, tokenizer, max_length, seed))
    facts = read_json(folder / "facts.json")
    return TokenData(
        ids=np.load(folder / "ids.npy", mmap_mode="r"),
        weights=np.load(folder / "weights.npy", mmap_mode="r"),
        bounds=np.load(folder / "bounds.npy"),
        ledgers=[Ledger.from_json(ledger) for ledger in facts["ledgers"]],
    )


def _key(sources: Sequence[Source], template: str, tokenizer: Any, max_length: int, seed: int) -> str:
    parts = [
        FORMAT,
        [(file_hash(source.path), source.weight) for source in sources],
        get_template(template).jinja,
        hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
        max_length,
        seed,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _conversations(source: Source, seed: int) -> Iterator[Conversation]:
    """The conversations of one source, each as often as its weight says."""
    random = np.random.default_rng([seed, len(source.path)])
    for conversation in read_conversations(source.path):
        whole, fraction = divmod(source.weight, 1.0)
        copies = int(whole) + (random.random() < fraction)
        for _ in range(copies):
            yield conversation


def _tokenise(
    sources: Sequence[Source], template: str, tokenizer: Any, max_length: int, seed: int
) -> tuple[list[npt.NDArray[np.int32]], list[npt.NDArray[np.float32]], list[Ledger]]:
    encoder = Encoder(get_template(template), tokenizer)
    ids: list[npt.NDArray[np.int32]] = []
    weights: list[npt.NDArray[np.float32]] = []
    conversations, pieces = Ledger("conversations"), Ledger("documents")
    for source in sources:
        for conversation in _conversations(source, seed):
            conversations.keep()
            parts = split(conversation, encoder, max_length)
            if len(parts) > 1:
                conversations.repair("split at max_length")
            for part in parts:
                tokens = encoder.encode(part)
                # As Alpaca and FastChat: what does not fit is cut off, and with it the end-of-turn token.
                trained = tokens.weights[:max_length].copy()
                trained[0] = 0
                if not trained.any():
                    pieces.drop("nothing to train on")
                    continue
                pieces.keep()
                if len(tokens.ids) > max_length:
                    pieces.repair("answer cut at max_length")
                ids.append(tokens.ids[:max_length])
                weights.append(trained)
    if not ids:
        files = ", ".join(source.path for source in sources)
        raise UserError(f"data.train: {files}: no conversation has an assistant turn to train on")
    return ids, weights, [conversations, pieces]


def _write(
    folder: Path,
    ids: list[npt.NDArray[np.int32]],
    weights: list[npt.NDArray[np.float32]],
    ledgers: list[Ledger],
) -> None:
    """Write the arrays beside `folder`, then move them there at once."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    np.save(partial / "ids.npy", np.concatenate(ids))
    np.save(partial / "weights.npy", np.concatenate(weights))
    np.save(partial / "bounds.npy", np.cumsum([0, *(len(document) for document in ids)]))
    write_json(partial / "facts.json", {"ledgers": [ledger.to_json() for ledger in ledgers]})
    try:
        partial.rename(folder)
        sync_folder(folder.parent)
    except OSError:  # another process was faster, with the same content
        shutil.rmtree(partial)
        assert (folder / "facts.json").is_file()
