"""What a form of data is: how its records are read, and which documents and loss weights come of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from camelid.files.ledger import Ledger
from camelid.files.read import Record
from conversations.formats.record_format import PlacedRecords
from finetune.recipe import DataSection

Item = TypeVar("Item")


class TokenizedDocument(NamedTuple):
    """What is trained in one piece, at most `max_length` tokens.

    Attributes:
        ids: (n,) int32 token ids.
        weights: (n,) float32 share of the loss of each token as a target; the first is 0, for nothing stands before
            it. None in a form without weights: every token but the first is trained.
    """

    ids: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class EncodeContext:
    """What a form makes documents with.

    Attributes:
        data: the section of the recipe: longest document, template.
        tokenizer: a Hugging Face fast tokenizer.
        seed: of whatever is drawn.
        records: counts what became of the source's records.
        documents: counts what became of the documents that they were cut into.
    """

    data: DataSection
    tokenizer: Any
    seed: int
    records: Ledger
    documents: Ledger


class Form(Protocol[Item]):
    """What the records of a source are.

    Attributes:
        name: what a recipe calls it (`form` of a source).
        units: what its records are called in the plural, in ledgers.
        weighted: whether its documents carry weights; without them every token but a document's first is trained, and
            nothing is stored for it.
    """

    name: str
    units: str
    weighted: bool

    def scan(self, path: Path) -> PlacedRecords:
        """`(place, record)` for each record of a file; what cannot be read yields its error."""
        ...

    def read(self, record: Record, place: str) -> Iterator[Item]:
        """What is trained of a record: one item, or several.

        Raises:
            UserError: the record is not of this form; the error names the form it is of, where that can be told.
        """
        ...

    def encode(self, items: Iterable[Item], context: EncodeContext) -> Iterator[list[TokenizedDocument]]:
        """The documents of each item, one list an item in the items' order; an empty one for what is dropped.

        Every item is counted in `context.records`, every document in `context.documents`.
        """
        ...
