"""What a model folder knows of texts: read, cut into windows and scored, by source."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.progress import Progress
from conversations.tokens.open_tokenizer import open_tokenizer
from finetune.data.batches import MicroBatch
from finetune.data.forms.text import cut_pieces, encode_texts
from finetune.data.packing import pack_documents
from finetune.data.sources import read_named_texts
from finetune.data.token_data import TokenData
from finetune.data.token_store import TokenStore
from finetune.engine.text_scores import COLUMNS, TextBytes, TextScore, score_sources, text_score, text_scores
from finetune.folders.open_folder import open_weights
from finetune.folders.vocabulary import require_rows
from finetune.llama.model import Head
from finetune.recipe import DataSource


def score_texts(
    folder: Path, files: Sequence[str], longest: int | None, quiet: bool
) -> tuple[Ledger, TextScore, dict[str, TextScore]]:
    """Score texts with a model: each in windows of which every one begins with the last token of the one before.

    Args:
        folder: the model.
        files: files or folders of texts, or data sets on the hub.
        longest: tokens of a window; None is what the model takes.
        quiet: no progress display.

    Returns:
        What became of the texts, the score of all, and of each source: the texts whose records name it as their
        `source`, or the file where they don't.

    Raises:
        UserError: a file is missing or broken, there is no text in them, or the tokenizer has more tokens than the
            model.
    """
    tokenizer, ledger = open_tokenizer(folder), Ledger("texts")
    model = open_weights(folder)
    capacity = longest or model.config.context
    data = _tokens(files, tokenizer, capacity, ledger)
    if not data.documents:
        raise UserError(f"{', '.join(files)}: no text in it")
    require_rows(data.used, tokenizer, folder)

    @torch.no_grad()
    def score(batch: MicroBatch, head: Head) -> Tensor:
        found: Tensor = model(batch.input_ids, batch.positions, batch.documents, head=head)
        return found

    rows, text, device = pack_documents(data.lengths, capacity), TextBytes(tokenizer), next(model.parameters()).device
    sums = np.zeros((len(data.sources) + 1, COLUMNS))
    with Progress("score", len(rows), quiet) as bar:
        for done, row in enumerate(rows, 1):
            sums += score_sources(data, [[row]], score, text, device)
            bar.update(done, f"{int(sums[:, 2].sum()):,} tokens")
    return ledger, text_score(sums.sum(0)), text_scores(data.sources, sums)


def _tokens(files: Sequence[str], tokenizer: Any, capacity: int, ledger: Ledger) -> TokenData:
    by_source: dict[str, list[npt.NDArray[np.int32]]] = {}
    names: deque[str] = deque()  # of the texts that were read and not encoded yet

    def texts() -> Iterator[str]:
        for path in files:
            for name, text in read_named_texts(DataSource(path, form="text")):
                names.append(name)
                yield text

    for ids in encode_texts(texts(), tokenizer, ledger):
        name = names.popleft()
        if ids.size:
            by_source.setdefault(name, []).append(ids)
    pieces, end = [], 0
    for ids in chain.from_iterable(by_source.values()):
        pieces += [(end + start, stop - start) for start, stop in cut_pieces(ids.size, capacity)]
        end += ids.size
    starts, lengths = np.array(pieces, dtype=np.int64).reshape(-1, 2).T
    stores = tuple(TokenStore(np.concatenate(held), None, at) for at, held in enumerate(by_source.values()))
    return TokenData(
        stores=stores,
        starts=starts,
        lengths=lengths,
        used=np.unique(np.concatenate([starts[:0], *(np.unique(store.ids) for store in stores)])),
        training=starts[:0],
        validation=np.arange(starts.size),
        ledgers=[ledger],
        sources=tuple(by_source),
    )
