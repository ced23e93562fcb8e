"""Files of exported chats into one clean conversation file, with what became of every record."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from camelid.errors import UserError
from camelid.ledger import Ledger
from conversations.clean import clean
from conversations.decontaminate import Decontaminator
from conversations.message import Conversation
from conversations.readers import READERS, detect, read_records


@dataclass
class Conversion:
    """Counts of one run; complete when its conversations have been drawn.

    Attributes:
        conversations: what became of every record.
        turns: what became of every turn of the readable records.
        faults: for each unreadable record, its place and what is wrong with it.
    """

    conversations: Ledger = field(default_factory=lambda: Ledger("conversations"))
    turns: Ledger = field(default_factory=lambda: Ledger("turns"))
    faults: list[str] = field(default_factory=list)

    def run(self, paths: Iterable[str | Path], questions: Sequence[str] = ()) -> Iterator[Conversation]:
        """Yield the clean conversations of some files, in order.

        Dropped, each with its reason: unreadable records, conversations without a whole exchange, exact
        repeats of one before, and those that contain an evaluation question.

        Args:
            paths: files in any format that `conversations.readers` knows.
            questions: evaluation questions to keep out.

        Raises:
            UserError: a file is missing or is not JSON.
        """
        contamination = Decontaminator(questions)
        seen: set[bytes] = set()
        ids: set[str] = set()
        for path in paths:
            for raw in self._read(path):
                turns = Ledger("turns")
                conversation = clean(raw, turns)
                reason = _reason_to_drop(conversation, seen, contamination)
                if conversation is None or reason:
                    self.conversations.drop(reason or "no exchange left")
                    turns.drop("in a conversation that was dropped", turns.kept)
                    turns.kept = 0
                    self.turns.add(turns)
                    continue
                self.conversations.keep()
                self.turns.add(turns)
                yield self._with_unique_id(conversation, ids)

    def _read(self, path: str | Path) -> Iterator[Conversation]:
        for place, record in read_records(path):
            try:
                conversation = READERS[detect(record, place)](record, place)
            except UserError as error:
                self.conversations.drop("unreadable record")
                self.faults.append(str(error))
                continue
            if conversation.messages:
                yield conversation
            else:
                self.conversations.drop("no turns")

    def _with_unique_id(self, conversation: Conversation, ids: set[str]) -> Conversation:
        name, number = conversation.id, 1
        while name in ids:
            number += 1
            name = f"{conversation.id}#{number}"
        ids.add(name)
        if number == 1:
            return conversation
        self.conversations.repair("repeated id made unique")
        return replace(conversation, id=name)


def _reason_to_drop(conversation: Conversation | None, seen: set[bytes], contamination: Decontaminator) -> str | None:
    if conversation is None:
        return "no exchange left"
    turns = [(message.role, message.content) for message in conversation.messages]
    digest = hashlib.sha256(json.dumps(turns).encode()).digest()
    if digest in seen:
        return "exact repeat of one before"
    seen.add(digest)
    if any(contamination.match(content) for role, content in turns if role == "user"):
        return "contains an evaluation question"
    return None
