"""`infill`: raw text, most documents cut in three with the middle last, so that a model learns to fill holes."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from camelid.files.read import Record
from conversations.formats.record_format import PlacedRecords
from conversations.tokens.encode_text import TextEncoder
from conversations.tokens.infill import CutText, InfillEncoder
from finetune.data.forms.form import EncodeContext, TokenizedDocument
from finetune.data.forms.text import TEXT, cut_pieces

RATE = 0.9  # of the documents that are cut (Roziere et al. 2023, section 2.3)
SUFFIX_FIRST = 0.5  # of those, whose suffix comes first (the same)
BATCH = 256  # documents tokenised together: enough for every core, and little memory


class InfillForm:
    """Records as of `text`. A document that would be longer than a sequence stays text: its holes would be cut, too.

    All of a text and the token that ends a middle are trained; the three sentinels that whoever asks writes are not.
    """

    name = "infill"
    units = "infilling texts"
    weighted = True

    def scan(self, path: Path) -> PlacedRecords:
        return TEXT.scan(path)

    def read(self, record: Record, place: str) -> Iterator[str]:
        return TEXT.read(record, place)

    def encode(self, items: Iterable[str], context: EncodeContext) -> Iterator[list[TokenizedDocument]]:
        infill = InfillEncoder(context.tokenizer)
        plain = TextEncoder(context.tokenizer, infill.tokens.all)
        numbered = enumerate(items)
        while batch := list(islice(numbered, BATCH)):
            drawn = [draw_cut(text, context.seed, number) for number, text in batch]
            holed = _holed(drawn, infill, context)
            whole = plain.encode([text for (_, text), document in zip(batch, holed, strict=True) if document is None])
            rest = iter(whole)
            for (_, text), document in zip(batch, holed, strict=True):
                yield [document] if document is not None else _plain_documents(text, next(rest), context)


def draw_cut(text: str, seed: int, number: int) -> tuple[CutText, bool] | None:
    """Where a text is cut, and whether its suffix comes first; None if it stays whole.

    Both cuts are uniform over the places between characters, before the first and behind the last included (Roziere
    et al. 2023, section 2.3).

    Args:
        text: the document.
        seed: of the run.
        number: of the document within its source; each of the copies that its weight makes has its own.
    """
    random = np.random.default_rng([seed, number, zlib.crc32(text.encode("utf-8", "replace"))])
    if not text.strip() or random.random() >= RATE:
        return None
    first, second = sorted(random.integers(0, len(text) + 1, 2).tolist())
    return CutText(text[:first], text[first:second], text[second:]), bool(random.random() < SUFFIX_FIRST)


def _holed(
    drawn: Sequence[tuple[CutText, bool] | None], infill: InfillEncoder, context: EncodeContext
) -> list[TokenizedDocument | None]:
    """The documents of the texts that were cut and fit; None for the others."""
    encoded = iter(infill.encode([cut for cut in drawn if cut is not None]))
    return [None if cut is None else _document(next(encoded), cut[1], infill, context) for cut in drawn]


def _document(
    encoded: list[int], suffix_first: bool, infill: InfillEncoder, context: EncodeContext
) -> TokenizedDocument | None:
    if len(encoded) > context.data.max_length:
        context.records.note("longer than max_length, so without a hole")
        return None
    context.records.keep()
    context.records.repair("suffix, prefix, middle" if suffix_first else "prefix, suffix, middle")
    context.documents.keep()
    ids = np.array(encoded, dtype=np.int32)
    weights = (~np.isin(ids, list(infill.sentinels))).astype(np.float32)
    weights[0] = 0
    return TokenizedDocument(ids, weights)


def _plain_documents(text: str, ids: npt.NDArray[np.int32], context: EncodeContext) -> list[TokenizedDocument]:
    """As of `text`, with weights."""
    if not text.strip() or ids.size < 2:
        context.records.drop("empty")
        return []
    context.records.keep()
    pieces = cut_pieces(ids.size, context.data.max_length)
    if len(pieces) > 1:
        context.records.repair("cut at max_length")
    context.documents.keep(len(pieces))
    weights = [np.ones(end - start, dtype=np.float32) for start, end in pieces]
    for each in weights:
        each[0] = 0
    return [TokenizedDocument(ids[start:end], each) for (start, end), each in zip(pieces, weights, strict=True)]


INFILL = InfillForm()
