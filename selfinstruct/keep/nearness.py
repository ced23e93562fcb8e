"""How near to what came before is too near."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfinstruct.keep.rouge import Similarity

LIMIT = 0.7  # Self-Instruct (Wang et al. 2023), section 2.2; Alpaca's generate_instruction.py uses it too


@dataclass(frozen=True)
class Nearness:
    """A limit on similarity.

    Attributes:
        limit: the highest ROUGE-L F-measure with anything before that is still kept, 0 to 1.
        reason: what is counted for an instruction above it.
    """

    limit: float
    reason: str

    def reason_to_drop(self, similarity: "Similarity") -> str | None:
        """Why an instruction as near as that is no good, or None."""
        return self.reason if similarity.highest > self.limit else None


DIFFERENT = Nearness(LIMIT, "too similar to one before")
# Of questions about code, which are alike in their words, exact duplicates alone go (Roziere et al. 2023, section 2.5);
# case and punctuation don't count.
SAME = Nearness(0.999, "the same question as one before")
