"""Finds texts and conversations that are nearly the same as one before, by MinHash."""

from typing import Any

from camelid.errors import UserError
from camelid.message import Conversation
from camelid.text.words import unicode_tokens

# Words in a shingle and hashes in a signature: FineWeb's (Penedo et al. 2024, section 3.4), datatrove's defaults.
_SHINGLE = 5
HASHES = 112
_FOUND = 0.9  # of pairs exactly as similar as asked for; FineWeb's 14 bands of 8 rows find 92% at 0.8
_SEED = 1


def minhash_signature(conversation: Conversation) -> Any:
    """The MinHash of a conversation's words; it depends on nothing else. None if there are none to compare."""
    return text_signature("\n".join(message.content for message in conversation.messages))


def text_signature(text: str) -> Any:
    """The MinHash of a text's words, `HASHES` numbers; None if there are none to compare."""
    from rensa import RMinHash

    words = unicode_tokens(text)
    if not words:
        return None
    last = max(1, len(words) - _SHINGLE + 1)
    minhash = RMinHash(num_perm=HASHES, seed=_SEED)
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
        self._index = RMinHashLSH(threshold=similarity, num_perm=HASHES, num_bands=count_bands(similarity))
        self._kept: list[Any] = []

    def is_near_duplicate(self, minhash: Any) -> bool:
        """Whether one like it was there before; if not, remember it. Without a signature nothing is like it."""
        before = len(self._kept)
        return minhash is not None and self.first_like(minhash) < before

    def first_like(self, minhash: Any) -> int:
        """Which of the texts without one like them before, counted from 0, this signature is like.

        If there is none, it is remembered as the next of them.
        """
        like = [key for key in self._index.query(minhash) if self._kept[key].jaccard(minhash) >= self._similarity]
        if like:
            return int(min(like))
        self._kept.append(minhash)
        self._index.insert(len(self._kept) - 1, minhash)
        return len(self._kept) - 1


def count_bands(similarity: float) -> int:
    """The fewest bands in which enough pairs of this similarity meet; fewer bands give fewer candidates to check."""
    for rows in (16, 14, 8, 7, 4, 2):
        if 1 - (1 - similarity**rows) ** (HASHES // rows) >= _FOUND:
            return HASHES // rows
    return HASHES
