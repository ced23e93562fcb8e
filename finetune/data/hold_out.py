"""Which documents are held out to validate on: drawn by content, so that none of them is trained on elsewhere.

A chat that comes twice, in one file or in two, is drawn once. Adding data moves no chat from one part to the other.
"""

import hashlib

import numpy as np
import numpy.typing as npt


def content_hash(ids: npt.NDArray[np.int32]) -> int:
    """64 bits of a document's tokens."""
    return int.from_bytes(hashlib.blake2b(ids.tobytes(), digest_size=8).digest(), "little")


def draw_held_out(
    contents: npt.NDArray[np.uint64], conversations: npt.NDArray[np.int64], seed: int, share: float
) -> npt.NDArray[np.bool_]:
    """Whether each document is held out.

    Conversations are drawn, by the content of their first document. A piece of a held-out conversation that is also a
    piece of one that is trained on (the same beginning, say) is not held out.

    Args:
        contents: (N,) from `content_hash`.
        conversations: (N,) number of the conversation that each document belongs to.
        seed: picks them.
        share: of the conversations that is held out.
    """
    _, first, place_N = np.unique(conversations, return_index=True, return_inverse=True)
    held_N = (_mix(contents[first], seed) < np.float64(share) * 2.0**64)[place_N]
    return held_N & ~np.isin(contents, contents[~held_N])


def _mix(keys: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    """Uniform numbers, a function of key and seed: the finaliser of SplitMix64 (Steele et al. 2014, figure 15)."""
    mixed = keys ^ np.random.SeedSequence([seed, 1]).generate_state(1, np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
