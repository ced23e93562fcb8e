"""Chooses by a stable hash of the id: the same conversations on every machine, in any order, after any merge."""

import hashlib
from dataclasses import dataclass

from camelid.files.ledger import Ledger
from camelid.message import Conversation


@dataclass(frozen=True)
class Sample:
    """The sampling step: keeps about this share of the conversations."""

    share: float
    seed: int = 0

    def __call__(self, conversation: Conversation, turns: Ledger) -> Conversation | str:
        return conversation if is_in_sample(conversation, self.share, f"sample {self.seed}") else "not in the sample"


def is_in_sample(conversation: Conversation, share: float, purpose: str) -> bool:
    """Whether a conversation is in the share (0..1) drawn for a purpose; branches of one tree go together."""
    return _draw(str(conversation.meta.get("tree", conversation.id)), purpose) < share * 2**64


def random_place(conversation: Conversation, purpose: str) -> float:
    """A number in [0, 1) drawn for a conversation and a purpose, by its id alone."""
    return (_draw(conversation.id, purpose) >> 11) / 2**53


def _draw(name: str, purpose: str) -> int:
    """64 bits."""
    return int.from_bytes(hashlib.sha256(f"{purpose}\n{name}".encode(errors="replace")).digest()[:8], "big")
