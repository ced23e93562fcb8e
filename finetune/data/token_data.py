"""Training data: files -> token ids and loss weights on disk, tokenised once, memory-mapped after."""

import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
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
from conversations.tokens.template import template_for
from finetune.data.forms.form import EncodeContext
from finetune.data.forms.table import FORMS
from finetune.data.forms.text import cut_pieces
from finetune.data.hold_out import draw_held_out
from finetune.data.pieces import AnswerPieces
from finetune.data.shards import read_shard
from finetune.data.sources import check_sources, read_source, shard_name, source_fingerprint, source_name, source_shards
from finetune.data.token_store import BLOCK, TokenStore, TokenTable, TokenWriter, read_table
from finetune.recipe import DataSection, DataSource

FORMAT = 2  # raise it when the meaning of the cached arrays changes


@dataclass(frozen=True)
class TokenData:
    """All documents of a run, numbered through their sources.

    Attributes:
        stores: where their ids lie.
        starts: (documents,) int64 where each begins, counted through all stores.
        lengths: (documents,) int64 its tokens.
        used: (n,) int64 the ids that occur.
        training: (n,) int64 documents to train on.
        validation: (m,) int64 documents held out.
        ledgers: what became of every record that was read.
        sources: the names of the sources, in the recipe's order.
        forms: their forms, in the same order.
        block: documents that are shuffled and packed together.
        pieces: of preferences, the prompt and the answers that each document is made of; None of anything else.
    """

    stores: tuple[TokenStore, ...]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    used: npt.NDArray[np.int64]
    training: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    ledgers: list[Ledger]
    sources: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    block: int = BLOCK
    pieces: AnswerPieces | None = None

    @property
    def documents(self) -> int:
        return self.starts.size

    @property
    def tokens(self) -> int:
        """Of all documents."""
        return int(self.lengths.sum())

    def document(self, index: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Ids and loss weights of a document.

        Returns:
            (n,) ids, and (n,) the weight of each as a target; 0 = not trained. A document's first token has nothing
            before it to predict it from, so its weight is always 0.
        """
        store, place = self._place(index)
        ids = store.ids[place].astype(np.int64)
        if store.weights is not None:
            return ids, np.array(store.weights[place])
        weights = np.ones(ids.size, dtype=np.float32)
        weights[0] = 0
        return ids, weights

    def sources_of(self, documents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The place of each document's source among `sources`; -1 where a cache of an older version does not say."""
        places = np.array([-1 if store.source is None else store.source for store in self.stores])
        return places[self._stores_of(documents)]

    def has_weights(self, documents: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether each document carries weights, as chats do; of the others all is trained."""
        carry = np.array([store.weights is not None for store in self.stores])
        return carry[self._stores_of(documents)]

    def are_chats(self, documents: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether each document is of a source of chats, as all are in a cache that does not say."""
        places = self.sources_of(documents)
        return np.array([place < 0 or self.forms[place] == "chat" for place in places], dtype=bool)

    def trained_weight(self, documents: npt.NDArray[np.int64]) -> float:
        """Sum of the loss weights of some documents."""
        carry = self.has_weights(documents)
        weights = (held.sum(dtype=np.float64) for held in self._weights(documents[carry]))
        return float(sum(weights)) + float((self.lengths[documents[~carry]] - 1).sum())

    def trained_tokens(self, documents: npt.NDArray[np.int64]) -> int:
        """Number of trained tokens of some documents."""
        carry = self.has_weights(documents)
        counts = (int(np.count_nonzero(held)) for held in self._weights(documents[carry]))
        return sum(counts) + int((self.lengths[documents[~carry]] - 1).sum())

    def _weights(self, documents: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.float32]]:
        """Those of documents that carry some."""
        for index in documents.tolist():
            store, place = self._place(index)
            assert store.weights is not None
            yield store.weights[place]

    def _place(self, index: int) -> tuple[TokenStore, slice]:
        """Where a document lies in which store."""
        number = int(np.searchsorted(self._bounds, self.starts[index], "right")) - 1
        start = int(self.starts[index] - self._bounds[number])
        return self.stores[number], slice(start, start + int(self.lengths[index]))

    def _stores_of(self, documents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.searchsorted(self._bounds, self.starts[documents], "right") - 1

    @cached_property
    def _bounds(self) -> npt.NDArray[np.int64]:
        """(stores,) where each begins."""
        sizes = np.array([store.ids.size for store in self.stores], dtype=np.int64)
        return sizes.cumsum() - sizes


def load_tokens(cache: Path, data: DataSection, tokenizer: Any, seed: int) -> TokenData:
    """Return the tokenised data, from the cache folder if it is there, else tokenise and fill the cache.

    The folder's name is a hash of everything the tokens depend on: the sources' content, their weights and forms, the
    template, the tokenizer, the length and (for fractional weights) the seed.

    Args:
        cache: folder that holds one folder per distinct data set.
        data: the sources, the template, the longest document, and the share of the records that is held out, each
            with all its pieces and copies.
        tokenizer: a Hugging Face fast tokenizer.
        seed: picks the part of a source whose weight has a fraction, and what is held out.

    Raises:
        UserError: a source is missing or broken, or nothing in it can be trained on.
    """
    folder = cache / _key(data, tokenizer, seed)
    if not (folder / "facts.json").is_file():
        _fill(folder, data, tokenizer, seed)
    facts = read_json(folder / "facts.json")
    table = read_table(folder, facts, lambda source, shard: _find_shard(data.train[source], shard))
    held_out = _held_out(table, seed, data.validation)
    training, held = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    if data.validation and not (training.size and held.size):
        raise UserError(
            f"data.validation = {data.validation}: too little data to hold out a part and train on the rest"
        )
    return TokenData(
        stores=table.stores,
        starts=table.starts,
        lengths=table.lengths,
        used=table.used,
        training=training,
        validation=held,
        ledgers=[Ledger.from_json(ledger) for ledger in facts["ledgers"]],
        sources=tuple(source_name(source) for source in data.train),
        forms=tuple(source.form for source in data.train),
        block=table.block,
    )


def _held_out(table: TokenTable, seed: int, share: float) -> npt.NDArray[np.bool_]:
    """Whether each document is held out."""
    if table.content is not None:
        if not share:
            return np.zeros(table.starts.size, dtype=bool)
        return draw_held_out(table.content, table.conversation, seed, share)
    # A cache of version 0.2 or before: its run goes on with the parts it began with.
    records = np.random.default_rng([seed, 1]).random(table.conversation[-1] + 1)
    return np.asarray(records[table.conversation] < share)


def _find_shard(source: DataSource, name: str) -> Path:
    return next(shard for shard in source_shards(source) if shard_name(source, shard) == name)


def _key(data: DataSection, tokenizer: Any, seed: int) -> str:
    forms = {source.form for source in data.train}
    parts = [
        FORMAT,
        [_key_of_source(source) for source in data.train],
        template_for(data.template, tokenizer).fingerprint if data.template and "chat" in forms else None,
        hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest(),
        data.max_length,
        seed,
    ]
    if forms != {"chat"}:
        parts.append(tokenizer.eos_token_id)
    if data.thinking != "drop":  # a cache of an older version has none
        parts.append(data.thinking)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _key_of_source(source: DataSource) -> list[str | float]:
    parts: list[str | float] = [source_fingerprint(source), source.weight]
    return parts if source.form == "chat" else [*parts, source.form]  # of chats as in older versions


def _copies(weight: float, random: np.random.Generator) -> int:
    """How often the next record is seen in an epoch."""
    whole, fraction = divmod(weight, 1.0)
    return int(whole) + int(random.random() < fraction)


def _fill(folder: Path, data: DataSection, tokenizer: Any, seed: int) -> None:
    """Tokenise beside `folder`, document by document, then move it there at once."""
    check_sources(data.train)
    records = {name: Ledger(form.units) for name, form in FORMS.items() if name in {s.form for s in data.train}}
    documents = Ledger("documents")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    make_folder(partial)
    try:
        with naming_write_errors(folder, "the tokens"):
            writer, number = TokenWriter(partial, len(tokenizer)), 0
            for index, source in enumerate(data.train):
                context = EncodeContext(data, tokenizer, seed, records[source.form], documents)
                number = _write_source(writer, index, source, context, number)
            writer.close()
            ledgers = [*records.values(), documents]
            facts = {"ledgers": [ledger.to_json() for ledger in ledgers], "stores": writer.stores}
            write_json(partial / "facts.json", facts)
        if not writer.documents:
            raise _nothing_to_train_on(data.train)
        if not folder.is_dir():  # else another process was faster, with the same content
            partial.rename(folder)
            sync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _nothing_to_train_on(sources: Sequence[DataSource]) -> UserError:
    names = ", ".join(source.path for source in sources)
    chats = all(source.form == "chat" for source in sources)
    why = "no conversation has an assistant turn to train on" if chats else "nothing in it can be trained on"
    return UserError(f"data.train: {names}: {why}")


def _write_source(writer: TokenWriter, index: int, source: DataSource, context: EncodeContext, number: int) -> int:
    """Write the documents of a source, whose records are numbered from `number`; return the number after them."""
    random = np.random.default_rng([context.seed, 2, index])
    if shards := source_shards(source):
        return _write_shards(writer, index, source, shards, context, number)
    numbers: deque[int] = deque()  # of the items that were drawn and not written yet

    def items() -> Iterator[Any]:
        nonlocal number
        for item in read_source(source):
            for _ in range(_copies(source.weight, random)):
                numbers.append(number)
                yield item
            number += 1

    form = FORMS[source.form]
    with writer.source_store(index, form.weighted) as add:
        for documents in form.encode(items(), context):
            belongs_to = numbers.popleft()
            for document in documents:
                add(belongs_to, document)
    return number


def _write_shards(
    writer: TokenWriter, index: int, source: DataSource, shards: Sequence[Path], context: EncodeContext, number: int
) -> int:
    """As `_write_source`, of token shards, which stay where they are."""
    random = np.random.default_rng([context.seed, 2, index])
    for path in shards:
        shard = read_shard(path)
        with writer.shard_store(index, shard_name(source, path), shard.ids) as add:
            for start, length in zip(shard.starts.tolist(), shard.lengths.tolist(), strict=True):
                pieces = cut_pieces(length, context.data.max_length)
                places = [(start + begin, start + end) for begin, end in pieces]
                for _ in range(_copies(source.weight, random)):
                    if length < 2:
                        context.records.drop("empty")
                        continue
                    context.records.keep()
                    context.documents.keep(len(places))
                    if len(places) > 1:
                        context.records.repair("cut at max_length")
                    add(number, places)
                number += 1
    return number
