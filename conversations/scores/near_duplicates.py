"""The score that looks at the whole set: how many conversations are nearly the same."""

from collections import Counter
from typing import Any

from camelid.text.minhash import NearDuplicates
from conversations.scores.score import ConversationScore

SIMILARITY = 0.8  # as the documentation of `convert --near-duplicates` has it; FineWeb's (Penedo et al. 2024)

NEAR_DUPLICATES = ConversationScore(
    "near-duplicates",
    f"how many conversations, itself included, share {SIMILARITY:.0%} of their runs of five words with the first",
    "set",
    "low",
)


class GroupSizes:
    """Counts the near-duplicates of each conversation. They come in order; sizes are known when all have come."""

    def __init__(self) -> None:
        self._near = NearDuplicates(SIMILARITY)
        self._group_of: list[int | None] = []

    def add(self, minhash: Any) -> None:
        """Take the next conversation's signature; None where there are no words to compare."""
        self._group_of.append(None if minhash is None else self._near.first_like(minhash))

    def sizes(self) -> list[float]:
        """Of each conversation, in their order."""
        counts = Counter(self._group_of)
        return [1.0 if group is None else float(counts[group]) for group in self._group_of]
