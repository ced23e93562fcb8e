"""`text`: documents of which every token is trained, as in pre-training."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.read import Record
from camelid.files.records import scan_records
from camelid.files.texts import PLAIN, read_plain
from camelid.files.unpack import unpacked_name
from conversations.formats.record_format import PlacedRecords
from conversations.tokens.encode_text import TextEncoder
from finetune.data.forms.form import EncodeContext, TokenizedDocument

BATCH = 1 << 20  # characters tokenised together: enough for every core, and little memory
CHATS = ("messages", "conversations", "conversation", "instruction", "prompt")  # fields that give a chat away


class TextForm:
    """Records `{"text": ...}`, or files `.txt` and `.md`; what is longer than a sequence is cut, nothing is lost."""

    name = "text"
    units = "texts"
    weighted = False

    def scan(self, path: Path) -> PlacedRecords:
        if path.is_file() and unpacked_name(path).lower().endswith(PLAIN):
            return iter([(str(path), {"text": read_plain(path)})])
        return scan_records(path)

    def read(self, record: Record, place: str) -> Iterator[str]:
        text = record.get("text")
        if isinstance(text, str):
            yield text
            return
        if "text" in record:
            raise UserError(f"{place}: field 'text' must be a string, found {type(text).__name__}")
        chat = next((name for name in CHATS if name in record), None)
        if chat is not None:
            raise UserError(f"{place}: a chat (field {chat!r}) in a source of `form: text`; give it `form: chat`")
        raise UserError(f"{place}: no field 'text', which holds the document in `form: text`; found {sorted(record)}")

    def encode(self, items: Iterable[str], context: EncodeContext) -> Iterator[list[TokenizedDocument]]:
        for ids in encode_texts(items, context.tokenizer, context.records):
            pieces = cut_pieces(len(ids), context.data.max_length) if ids.size else []
            context.documents.keep(len(pieces))
            if len(pieces) > 1:
                context.records.repair("cut at max_length")
            yield [TokenizedDocument(ids[start:end], None) for start, end in pieces]


def encode_texts(texts: Iterable[str], tokenizer: Any, records: Ledger) -> Iterator[npt.NDArray[np.int32]]:
    """The ids of each text, begin and end of text around it; none at all of an empty one.

    Args:
        texts: may be more than fit into memory.
        tokenizer: a Hugging Face fast tokenizer.
        records: counts them.
    """
    encoder = TextEncoder(tokenizer)
    for batch in _batches(texts):
        for text, ids in zip(batch, encoder.encode(batch), strict=True):
            empty = not text.strip() or len(ids) < 2
            if empty:
                records.drop("empty")
            else:
                records.keep()
            yield ids[:0] if empty else ids


def cut_pieces(tokens: int, longest: int) -> list[tuple[int, int]]:
    """Where the pieces of a document begin and end: each begins with the token that the one before ends with.

    That token is trained in the piece before, where it is a target, and is what the next piece's first target is
    predicted from. So every token but the document's first is trained once, however it is cut.

    Args:
        tokens: of the document, at least 2.
        longest: tokens of a piece.
    """
    starts = range(0, max(tokens - 1, 1), longest - 1)
    return [(start, min(start + longest, tokens)) for start in starts]


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


TEXT = TextForm()
