"""What an iteration asks, as a function of the seed and its number: so it can be asked again after a kill."""

import numpy as np

from finetune.data.packing import Ints


def draw_prompts(seed: int, iteration: int, count: int, total: int) -> Ints:
    """(count,) places of the prompts of an iteration: all in turn, each pass in an order of its own."""
    begin, end = iteration * count, (iteration + 1) * count
    found = []
    for number in range(begin // total, -(-end // total)):  # passes that the iteration has a part in
        order = np.random.default_rng([seed, 5, number]).permutation(total)
        found.append(order[max(0, begin - number * total) : end - number * total])
    return np.concatenate(found)


def draw_seed(seed: int, iteration: int, prompt: int, answer: int) -> int:
    """Of the random choices of an answer.

    Args:
        seed: of the run.
        iteration: its number.
        prompt: its place in the iteration.
        answer: which of the answers to it.
    """
    return int(np.random.SeedSequence([seed, 6, iteration, prompt, answer]).generate_state(1)[0])
