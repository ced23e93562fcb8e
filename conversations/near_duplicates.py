"""Finds conversations that are nearly the same as one before, by MinHash."""

import re
from typing import Any

from camelid.errors import UserError
from conversations.message import Conversation

# Words in a shingle, bands and rows: those of FineWeb (Penedo et al. 2024, section 3.4), datatrove's defaults. Two
# texts that share 80% of their shingles meet in some band with a probability of 92%.
_SHINGLE = 5
_BANDS, _ROWS = 14, 8
_SEED = 1


def signature(conversation: Conversation) -> Any:
    """The MinHash of a conversation's words; it depends on nothing else."""
    from rensa import RMinHash

    words = re.findall(r"\w+", "\n".join(message.content for message in conversation.messages).lower())
    last = max(1, len(words) - _SHINGLE + 1)
    minhash = RMinHash(num_perm=_BANDS * _ROWS, seed=_SEED)
    minhash.update([" ".join(words[start : start + _SHINGLE]) for start in range(last)])
    return minhash


class NearDuplicates:
    """Remembers signatures; the first of several similar conversations is the one that stays.

    Args:
        similarity: estimated share of common shingles (Jaccard) from which two are duplicates, in (0, 1].
    """

    def __init__(self, similarity: float) -> None:
        from rensa import RMinHashLSH

        if not 0 < similarity <= 1:
            raise UserError(f"near-duplicate similarity must be above 0 and at most 1, found {similarity}")
        self._similarity = similarity
        self._index = RMinHashLSH(threshold=similarity, num_perm=_BANDS * _ROWS, num_bands=_BANDS)
        self._kept: list[Any] = []

    def seen(self, minhash: Any) -> bool:
        """Whether one like it was there before; if not, remember it."""
        if any(self._kept[key].jaccard(minhash) >= self._similarity for key in self._index.query(minhash)):
            return True
        self._index.insert(len(self._kept), minhash)
        self._kept.append(minhash)
        return False
