"""The part of a conversion that looks at one record at a time, which workers and clusters share out."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.read import Record
from camelid.files.write import dumps
from camelid.message import Conversation
from camelid.text.minhash import minhash_signature
from conversations.cleaning.clean import Clean
from conversations.formats.chat import Branches, Chat
from conversations.formats.readers import read_chats
from conversations.formats.table import count_turns
from conversations.unreadable import UNREADABLE

# A step gives back the conversation (changed or not), or the reason to drop it. It counts what it changes in
# turns; only `Clean` drops single turns.
CleaningStep = Callable[[Conversation, Ledger], Conversation | str]

RecordBatch = list[tuple[str, Record | UserError]]
_BATCH = 32  # records

NEAR_DUPLICATE = "near-duplicate of another"  # where no one of them comes first
DROPPED_WHOLE = "in a conversation that was dropped"


@dataclass(frozen=True)
class ConversionWork:
    """What is done with each record.

    Attributes:
        steps: run in order on every conversation, after it was cleaned.
        clean: the cleaning itself.
        format: the name of the format of all records; None to detect it.
        branches: which branches of a tree are read.
        signatures: whether near-duplicates will be looked for.
    """

    steps: tuple[CleaningStep, ...] = ()
    clean: Clean = field(default_factory=Clean)
    format: str | None = None
    branches: Branches = "all"
    signatures: bool = False


@dataclass(slots=True)
class Cleaned:
    """A conversation that came through.

    Attributes:
        turns: how many turns that were read are in it.
        digest: equal for conversations of equal turns.
        minhash: its signature, if asked for.
    """

    conversation: Conversation
    turns: int
    digest: bytes
    minhash: Any = None


@dataclass(slots=True)
class BatchResult:
    """What became of a batch of records."""

    cleaned: list[Cleaned] = field(default_factory=list)
    dropped: Ledger = field(default_factory=lambda: Ledger("conversations"))
    turns: Ledger = field(default_factory=lambda: Ledger("turns"))
    faults: list[str] = field(default_factory=list)


def cut_into_batches(records: Iterator[tuple[str, Record | UserError]]) -> Iterator[RecordBatch]:
    """Cut the records into batches small enough to hold and large enough to send to a worker."""
    while batch := list(islice(records, _BATCH)):
        yield batch


def process_batch(work: ConversionWork, records: RecordBatch) -> BatchResult:
    """Do the work on a batch; `cleaned` keeps the order of the records."""
    result = BatchResult()
    for place, record in records:
        try:
            if isinstance(record, UserError):
                raise record
            chats = list(read_chats(record, place, work.format, work.branches))
        except UserError as error:
            result.faults.append(str(error))
            result.dropped.drop(UNREADABLE)
            if isinstance(record, dict) and (lost := count_turns(record)):
                result.turns.drop("in an unreadable record", lost)
            continue
        for chat in chats:
            _process_chat(work, chat, place, result)
    return result


def _process_chat(work: ConversionWork, chat: Chat, place: str, result: BatchResult) -> None:
    turns = Ledger("turns", dropped=chat.lost, repaired=chat.repaired)
    if chat.set_aside:
        result.dropped.set_aside.update(chat.set_aside)
    outcome: Conversation | str = work.clean(chat.conversation, turns, chat.page)
    if not isinstance(outcome, str) and _repeats_its_tree(outcome):
        outcome = "branch without an answer of its own"
    for step in work.steps:
        if isinstance(outcome, str):
            break
        outcome = step(outcome, turns)
    if not isinstance(outcome, str):
        try:
            beside = _beside_texts(outcome)
            (dumps([outcome.id, outcome.meta, *beside]) if outcome.meta or beside else outcome.id).encode()
        except (TypeError, ValueError) as error:  # NaN, half a surrogate pair, or a date out of a Parquet file
            result.faults.append(f"{place}: cannot be written as JSON: {error}")
            outcome = UNREADABLE
    if isinstance(outcome, str):
        result.dropped.drop(outcome)
        drop_kept(turns, turns.kept)
    else:
        result.cleaned.append(
            Cleaned(outcome, turns.kept, _digest(outcome), minhash_signature(outcome) if work.signatures else None)
        )
    result.turns.add(turns)


def _repeats_its_tree(conversation: Conversation) -> bool:
    """Whether a branch has answers alone that are trained in branches before it."""
    answers = [message for message in conversation.messages if message.role == "assistant"]
    return "tree" in conversation.meta and all(message.weight == 0 for message in answers)


def _beside_texts(conversation: Conversation) -> list[Any]:
    """What its messages hold besides their contents, which cleaning made sure of."""
    found: list[Any] = [[one.reasoning, one.meta] for one in conversation.messages if one.meta or one.reasoning]
    found += [[call.to_json() for call in one.tool_calls] for one in conversation.messages if one.tool_calls]
    return [*found, *conversation.tools]


def drop_kept(turns: Ledger, count: int) -> None:
    """Count turns that were kept as dropped after all."""
    if count:
        turns.kept -= count
        turns.drop(DROPPED_WHOLE, count)


def _digest(conversation: Conversation) -> bytes:
    parts = [f"{message.role} {len(message.content)} {message.content}" for message in conversation.messages]
    parts += [repr(message.tool_calls) for message in conversation.messages if message.tool_calls]
    text = "".join(parts)
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
