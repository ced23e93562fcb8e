"""The check before a run: what a data set becomes under a template, a tokenizer and a length.

It looks at the documents the way training makes them: long conversations split between exchanges, what is
still too long cut off at `max_length`, what has nothing to train on then left out.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np

from camelid.errors import UserError
from camelid.message import Conversation
from conversations.tokens.split import split_conversation
from conversations.tokens.template import TEMPLATES
from conversations.tokens.tokenize import Encoder, TokenizedConversation

# Shares above which a run is not worth starting. They are ours: each is far above what cleaned data shows and low
# enough to notice a wrong template, a wrong length or a broken export.
MOST_UNTRAINED = 0.01  # documents with nothing to train on
MOST_LOST_ENDS = 0.05  # answers whose end-of-turn token is cut off
MOST_DUPLICATES = 0.10  # documents that repeat another, token for token
MOST_UNKNOWN = 0.01  # tokens the tokenizer has no id for
MOST_MARKED = 0.01  # conversations in whose text a turn of some template begins or ends
LEAST_TRAINED = 0.02  # trained tokens of all tokens
SHOWN_FAULTS = 5

Level = Literal["ok", "note", "FAIL"]


def _role_markers() -> re.Pattern[str]:
    """What begins or ends a turn in any of our templates, without the blanks and `<s>` around it."""
    around = [
        text
        for template in TEMPLATES.values()
        for text in (
            *(template.system_open, template.system_close, template.user_open, template.user_close),
            *(template.assistant_open, template.assistant_close),
            template.with_input.input_open if template.with_input else "",
        )
    ]
    markers = {re.sub(r"</?s>", "", text).strip() for text in around} - {""}
    longest_first = sorted(markers, key=len, reverse=True)
    return re.compile("|".join((r"\b" if text[0].isalpha() else "") + re.escape(text) for text in longest_first))


ROLE_MARKER = _role_markers()


@dataclass
class DataAudit:
    """Counts over all documents.

    Attributes:
        conversations, split, documents: read; cut into several; what they became.
        refused: conversations the template cannot write, with the reason (the first few).
        lost: exchanges with tools that the template cannot write, with the reason; training leaves them out.
        marked: conversations in whose text a role marker was typed (`ASSISTANT:`, `[/INST]`), by the first of them. Who
            trains on these teaches the model to go on as the user.
        untrained: documents without a trained token; training leaves them out, and so do the counts below.
        cut: documents cut off at the length.
        answers, lost_ends: answers that count for the loss (of all documents); those whose end-of-turn token is
            not trained.
        duplicates: documents whose ids equal an earlier one's.
        tokens, trained, unknown: tokens that remain; those trained; those without an id of their own.
        lengths: tokens of each document, untrained ones too, before it is cut.
    """

    max_length: int
    conversations: int = 0
    split: int = 0
    documents: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    marked: Counter[str] = field(default_factory=Counter)
    untrained: int = 0
    cut: int = 0
    answers: int = 0
    lost_ends: int = 0
    duplicates: int = 0
    tokens: int = 0
    trained: int = 0
    unknown: int = 0
    lengths: list[int] = field(default_factory=list)
    _seen: set[bytes] = field(default_factory=set)

    def add(self, conversation: Conversation, tokens: TokenizedConversation | UserError, encoder: Encoder) -> None:
        """Count one conversation, given what it becomes as a whole."""
        self.conversations += 1
        found = next(filter(None, (ROLE_MARKER.search(message.content) for message in conversation.messages)), None)
        if found:
            self.marked[found[0]] += 1
        if isinstance(tokens, UserError):
            self.refused[str(tokens)] += 1
            return
        whole = len(tokens.ids) <= self.max_length
        try:
            parts = [conversation] if whole else split_conversation(conversation, encoder, self.max_length)
            documents = [document for part in parts for document in encoder.documents(part)]
            cuts = [tokens] if documents == [conversation] else [encoder.encode(document) for document in documents]
        except UserError as error:  # the template can write the whole, but not a part
            self.refused[str(error)] += 1
            return
        self.split += len(parts) > 1
        for document, cut in zip(documents, cuts, strict=True):
            self._add_document(cut, encoder.trained_answers(document), encoder)

    def _add_document(self, tokens: TokenizedConversation, answers: int, encoder: Encoder) -> None:
        ids, weights = tokens.ids[: self.max_length], tokens.weights[: self.max_length].copy()
        weights[0] = 0  # nothing stands before a document's first token to predict it from
        trained = int(np.count_nonzero(weights))
        self.documents += 1
        self.lengths.append(len(tokens.ids))
        self.answers += answers
        self.lost_ends += answers - int(np.count_nonzero(weights[np.isin(ids, encoder.end_ids)]))
        if not trained:
            self.untrained += 1
            return
        self.cut += len(tokens.ids) > self.max_length
        self.tokens += len(ids)
        self.trained += trained
        self.unknown += int(np.count_nonzero(ids == encoder.unknown_id))
        digest = hashlib.blake2b(ids.tobytes(), digest_size=12).digest()
        self.duplicates += digest in self._seen
        self._seen.add(digest)

    def findings(self) -> list[tuple[Level, str]]:
        """Every question that was asked of the data, with its answer, for the eye."""
        refused = self.refused.total()
        lines: list[tuple[Level, str]] = [
            ("FAIL" if refused else "ok", f"{refused} of {self.conversations} conversations refused by the template"),
            *(("FAIL", f"    {reason}") for reason, _ in self.refused.most_common(SHOWN_FAULTS)),
            *self._lost_exchanges(),
            *self._role_markers(),
            ("note" if self.split else "ok", f"{self.split} split at {self.max_length} tokens"),
        ]
        if self.documents:
            lines.append(
                self._share("documents have nothing to train on", self.untrained, self.documents, MOST_UNTRAINED)
            )
        remain = self.documents - self.untrained
        if not remain:
            return [*lines, ("FAIL", "no document is left to train on")]
        lines += [
            self._share(f"documents are cut off at {self.max_length} tokens", self.cut, remain, 1.0),
            self._share("answers lose their end-of-turn token", self.lost_ends, self.answers, MOST_LOST_ENDS),
            self._share("documents repeat another, token for token", self.duplicates, remain, MOST_DUPLICATES),
            self._share("tokens are unknown to the tokenizer", self.unknown, self.tokens, MOST_UNKNOWN),
        ]
        share = self.trained / self.tokens
        level: Level = "FAIL" if share < LEAST_TRAINED else "ok"
        return [*lines, (level, f"{self.trained:,} of {self.tokens:,} tokens are trained ({share:.1%})")]

    def _lost_exchanges(self) -> list[tuple[Level, str]]:
        if not self.lost:
            return []
        lines: list[tuple[Level, str]] = [("note", f"{self.lost.total():,} exchanges with tools are left out")]
        return lines + [("note", f"    {reason}") for reason, _ in self.lost.most_common(SHOWN_FAULTS)]

    def _role_markers(self) -> list[tuple[Level, str]]:
        if not self.marked:
            return []
        found = "conversations have a role marker typed in them"
        lines = [self._share(found, self.marked.total(), self.conversations, MOST_MARKED)]
        return lines + [
            ("note", f"    {marker} in {count:,}") for marker, count in self.marked.most_common(SHOWN_FAULTS)
        ]

    @property
    def passed(self) -> bool:
        return all(level != "FAIL" for level, _ in self.findings())

    def _share(self, what: str, count: int, total: int, most: float) -> tuple[Level, str]:
        share = count / total if total else 0.0
        level: Level = "FAIL" if share > most else "note" if count else "ok"
        limit = f", more than {most:.0%}" if level == "FAIL" else ""
        return level, f"{count:,} of {total:,} {what} ({share:.1%}{limit})"


def audit_conversations(conversations: Iterable[Conversation], encoder: Encoder, max_length: int) -> DataAudit:
    """Count all conversations."""
    result = DataAudit(max_length)
    for conversation, tokens in encoder.encode_all(_written(conversations, encoder, result)):
        result.add(conversation, tokens, encoder)
    return result


def _written(conversations: Iterable[Conversation], encoder: Encoder, result: DataAudit) -> Iterator[Conversation]:
    """The conversations as the template can write them."""
    for conversation in conversations:
        fitted = encoder.fit_tools(conversation)
        if fitted.lost:
            result.lost[fitted.reason] += fitted.lost
        if fitted.conversation is None:
            result.conversations += 1
        else:
            yield fitted.conversation


def length_histogram(lengths: list[int], max_length: int, rows: int = 8, width: int = 40) -> list[str]:
    """A histogram of document lengths as lines of text; the last row is what is longer than `max_length`."""
    edges = [round(max_length * row / rows) for row in range(rows + 1)]
    counts = np.histogram(lengths, bins=[*edges, np.inf])[0].tolist()
    counts[-1] -= (exactly := sum(length == max_length for length in lengths))
    counts[-2] += exactly
    names = [f"{low + (row > 0):,}-{high:,}" for row, (low, high) in enumerate(pairwise(edges))]
    names.append(f"over {max_length:,}")
    size = max(map(len, names))
    return [
        f"  {name:>{size}}  {'█' * round(width * count / max(*counts, 1))}{'▏' if count else ''} {count:,}"
        for name, count in zip(names, counts, strict=True)
    ]
