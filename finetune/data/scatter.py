"""A permutation that any part of can be computed alone: for orders of more documents than fit into memory."""

import numpy as np
import numpy.typing as npt

ROUNDS = 6


def scatter(places: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.int64]:
    """The numbers at some places of a random order of 0..count-1.

    A Feistel network over the smallest even number of bits that holds `count`, walked until it lands below `count`
    (Black and Rogaway 2002, "Ciphers with arbitrary finite domains", methods 2 and 3).

    Args:
        places: (n,) from 0 to count - 1.
        count: numbers in all.
        seed: picks the order.

    Returns:
        (n,) all different for places that are.
    """
    half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    keys = np.random.SeedSequence([seed, 3]).generate_state(ROUNDS, np.uint64).astype(np.uint64)
    found = places.astype(np.uint64)
    outside = np.arange(found.size)
    while outside.size:
        found[outside] = _walk(found[outside], keys, half, mask)
        outside = outside[found[outside] >= count]
    return found.astype(np.int64)


def _walk(
    values: npt.NDArray[np.uint64], keys: npt.NDArray[np.uint64], half: np.uint64, mask: np.uint64
) -> npt.NDArray[np.uint64]:
    left, right = values >> half, values & mask
    for key in keys:
        mixed = (right ^ key) * np.uint64(0xBF58476D1CE4E5B9)  # of SplitMix64 (Steele et al. 2014, figure 15)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        left, right = right, left ^ ((mixed ^ (mixed >> np.uint64(31))) & mask)
    return (left << half) | right
