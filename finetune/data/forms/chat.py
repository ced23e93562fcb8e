"""`chat`: messages of which the assistant's are trained."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.read import Record
from camelid.in_order import map_in_order
from camelid.message import Conversation
from conversations.formats.readers import read_chats, scan_chats
from conversations.formats.record_format import PlacedRecords
from conversations.tokens.fit_tools import LOST_EXCHANGE, LOST_SCHEMAS, NOTHING_LEFT
from conversations.tokens.split import split_conversation
from conversations.tokens.template import template_for
from conversations.tokens.tokenize import Encoder
from finetune.data.forms.form import EncodeContext, TokenizedDocument

BATCH = 128  # conversations that a process encodes at a time
ALONE = 8  # batches that one process encodes sooner than others would have started
AHEAD = 2  # batches that wait for each process


class ChatForm:
    """Conversations by a template; longer ones are split at exchange boundaries."""

    name = "chat"
    units = "conversations"
    weighted = True

    def scan(self, path: Path) -> PlacedRecords:
        return scan_chats(path)

    def read(self, record: Record, place: str) -> Iterator[Conversation]:
        try:
            for chat in read_chats(record, place):
                if chat.lost:
                    reasons = ", ".join(chat.lost)
                    raise UserError(f"{place}: not text alone ({reasons}); run `camelid conversations convert` first")
                yield chat.conversation
        except UserError as error:
            if isinstance(record.get("text"), str) and "raw text" in str(error):
                raise UserError(f"{error}; or give the source `form: text`, which trains all of it") from None
            raise

    def encode(self, items: Iterable[Conversation], context: EncodeContext) -> Iterator[list[TokenizedDocument]]:
        """On all cores; what comes does not depend on their number."""
        data = context.data
        assert data.template is not None, "the recipe refuses chats without one"
        encoder = Encoder(template_for(data.template, context.tokenizer), context.tokenizer, thinking=data.thinking)
        source = iter(items)
        batches = iter(lambda: list(islice(source, BATCH)), [])
        for encoded in _in_order(encoder, context, batches):
            context.records.add(encoded.records)
            context.documents.add(encoded.documents)
            yield from encoded.of_each


class _EncodedBatch(NamedTuple):
    """The documents of each conversation of a batch, and what became of both."""

    of_each: list[list[TokenizedDocument]]
    records: Ledger
    documents: Ledger


def _in_order(
    encoder: Encoder, context: EncodeContext, batches: Iterator[list[Conversation]]
) -> Iterator[_EncodedBatch]:
    """The results of all batches in their order; few are held at a time."""
    encode = partial(_encode_batch, encoder, replace(context, tokenizer=None))
    yield from map(encode, islice(batches, ALONE))
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    if cores == 1 or (first := next(batches, None)) is None:
        yield from map(encode, batches)
        return
    # Forked, as torch's own loaders of data are: a process that began anew would load torch first. What is forked
    # computes nothing but this.
    with ProcessPoolExecutor(cores, multiprocessing.get_context("fork"), _start, (encode,)) as pool:
        yield from map_in_order(pool, _encode_in_worker, chain([first], batches), AHEAD * cores)


_encode_here: "partial[_EncodedBatch]"  # of a worker


def _start(encode: "partial[_EncodedBatch]") -> None:
    global _encode_here
    _encode_here = encode
    # Who started it stops it, also when another of them was killed; the handler that it came with is the parent's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()


def _leave_with(parent: int) -> None:
    """End this process when the one that started it was killed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _encode_in_worker(conversations: list[Conversation]) -> _EncodedBatch:
    return _encode_here(conversations)


def _encode_batch(encoder: Encoder, context: EncodeContext, conversations: list[Conversation]) -> _EncodedBatch:
    of_each = []
    own = replace(context, records=Ledger(context.records.unit), documents=Ledger(context.documents.unit))
    for conversation in conversations:
        if day := encoder.template.date:
            own.records.note(f"written with the date {day} in place of today's")
        if own.data.thinking == "drop" and any(message.reasoning for message in conversation.messages):
            own.records.repair("thinking left out (data.thinking: drop)")
        fitted = _fitted(conversation, encoder, own.records)
        parts = split_conversation(fitted, encoder, own.data.max_length) if fitted else []
        if len(parts) > 1:
            own.records.repair("split at max_length")
        pieces = (piece for part in parts for piece in encoder.documents(part))
        found = (_document(piece, encoder, own) for piece in pieces)
        of_each.append([document for document in found if document is not None])
    return _EncodedBatch(of_each, own.records, own.documents)


def _fitted(conversation: Conversation, encoder: Encoder, records: Ledger) -> Conversation | None:
    """The conversation as the template can write it; None if nothing of it is left."""
    fitted = encoder.fit_tools(conversation)
    if fitted.conversation is None:
        records.drop(NOTHING_LEFT, example=fitted.reason)
        return None
    records.keep()
    for what, count in ((LOST_EXCHANGE, fitted.lost), (LOST_SCHEMAS, int(fitted.schemas_lost))):
        if count:
            records.repair(what, count)
            records.examples.setdefault(what, fitted.reason)
    return fitted.conversation


def _document(part: Conversation, encoder: Encoder, context: EncodeContext) -> TokenizedDocument | None:
    """A part that fits, but for one long answer; None if nothing of it is trained."""
    longest, documents = context.data.max_length, context.documents
    tokens = encoder.encode(part)
    # As Alpaca and FastChat: what does not fit is cut off, and with it the end-of-turn token.
    trained = tokens.weights[:longest].copy()
    trained[0] = 0
    if not trained.any():
        documents.drop("nothing to train on")
        return None
    documents.keep()
    if len(tokens.ids) > longest:
        documents.repair("answer cut at max_length")
    return TokenizedDocument(tokens.ids[:longest], trained)


CHAT = ChatForm()
