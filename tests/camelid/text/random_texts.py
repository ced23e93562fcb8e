"""Texts of random words, a few of which are not ASCII."""

import random

WORDS = "write a short story about the red fox and its 3 friends in Paris, don't use Ünïcode é or 東京".split()


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(0, 14))) for _ in range(count)]
