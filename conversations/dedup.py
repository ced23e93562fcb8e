"""Conversations as a corpus that `dedup` can read: what of them is compared, and what is kept out."""

import io
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from camelid.errors import UserError
from camelid.files.ledger import Ledger
from camelid.files.read import Record, read_lines
from camelid.files.write import dumps
from camelid.message import Conversation
from camelid.text.corpus_kind import CorpusKind, ReasonToDrop, RecordParts, TextComparison
from camelid.text.decontaminate import Decontaminator, KeepOutQuestions
from camelid.text.words import unicode_tokens
from conversations.batch import DROPPED_WHOLE, NEAR_DUPLICATE
from conversations.formats.conversations import CONVERSATIONS as OUR_FORMAT
from conversations.formats.table import detect_format
from conversations.questions.read import read_question_texts


def _read_file(folder: Any, path: str) -> Iterator[tuple[str, Record]]:
    with folder.open(path, "rb", compression="infer") as file:
        yield from read_lines(io.BufferedReader(file), folder.resolve_paths(path))


def _all_turns(record: Record, place: str) -> str:
    """The text of all turns of a conversation in Camelid's own format."""
    found = detect_format(record, place)
    if found is not OUR_FORMAT:
        raise UserError(f"{place}: a record in the format {found.name}; run `camelid conversations convert` first")
    conversation = Conversation.from_json(record, place)
    try:
        dumps(record).encode()
    except ValueError as error:  # NaN, or half a surrogate pair
        raise UserError(f"{place}: cannot be written as JSON: {error}") from None
    return "\n".join(message.content for message in conversation.messages)


def _count_turns(record: Record) -> int:
    return len(record["messages"])


def _keep_out(paths: Sequence[str]) -> ReasonToDrop:
    questions = [text for path in paths for text in read_question_texts(path)]
    return partial(_reason_to_drop, keep_out=KeepOutQuestions(Decontaminator(questions)))


def _reason_to_drop(record: Record, keep_out: KeepOutQuestions) -> str | None:
    outcome = keep_out(Conversation.from_json(record, ""), Ledger("turns"))
    return outcome if isinstance(outcome, str) else None


# Five words in a row, as `convert --near-duplicates`, and FineWeb (Penedo et al. 2024, section 3.4).
CONVERSATIONS = CorpusKind(
    "conversations",
    _read_file,
    _all_turns,
    TextComparison(unicode_tokens, n_grams=5),
    NEAR_DUPLICATE,
    _keep_out,
    RecordParts("turns", _count_turns, DROPPED_WHOLE),
)
