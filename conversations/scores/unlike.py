"""DEITA's filter for diversity (Liu et al. 2024, "Repr Filter").

Best first, a conversation is taken if its embedding is near that of none taken before. Near is a cosine similarity
above 0.9 (deita's selection/filter/base.py; the paper calls it a distance).
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from camelid.message import Conversation

THRESHOLD = 0.9
BLOCK = 256  # candidates compared with all taken ones at once

Vectors = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]  # texts -> (n, d)


def embedding_text(conversation: Conversation) -> str:
    """What of a conversation is embedded: all that was said."""
    return "\n\n".join(message.content for message in conversation.messages)


def unit_length(vectors: Vectors) -> Vectors:
    """(n, d) of length 1 each; zeros stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def keep_unlike(vectors: Vectors, order: Sequence[int], limit: int, threshold: float = THRESHOLD) -> list[int]:
    """The places that are taken, in the given order.

    Args:
        vectors: (n, d) embeddings of all conversations, of length 1.
        order: places, best first.
        limit: how many are taken at most.
        threshold: the highest cosine similarity to one that was taken.
    """
    taken: list[int] = []
    for start in range(0, len(order), BLOCK):
        block = list(order[start : start + BLOCK])
        near_taken = (vectors[block] @ vectors[taken].T > threshold).any(1)
        near_each_other = vectors[block] @ vectors[block].T > threshold
        fresh: list[int] = []
        for at in np.flatnonzero(~near_taken).tolist():
            if len(taken) + len(fresh) == limit:
                return taken + [block[one] for one in fresh]
            if not near_each_other[at, fresh].any():
                fresh.append(at)
        taken += [block[one] for one in fresh]
    return taken
