"""Near-duplicates against the similarity computed outright."""

import random

import pytest

from camelid.errors import UserError
from camelid.message import Conversation, Message
from camelid.text.minhash import NearDuplicates, minhash_signature


def talk(question: str, answer: str = "yes", name: str = "c") -> Conversation:
    return Conversation(name, (Message("user", question), Message("assistant", answer)))


def shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}


def test_near_duplicates_agree_with_the_true_similarity() -> None:
    """Against the Jaccard similarity computed outright: clear cases are decided right."""
    rng = random.Random(0)
    near = NearDuplicates(0.8)
    wrong = 0
    for _ in range(150):
        words = [f"w{rng.randrange(10_000)}" for _ in range(300)]
        changed = list(words)
        for at in rng.sample(range(300), rng.choice([1, 2, 60])):
            changed[at] = "other"
        first, second = " ".join(words), " ".join(changed)
        assert not near.is_near_duplicate(minhash_signature(talk(first, "")))
        one, two = shingles(first), shingles(second)
        similarity = len(one & two) / len(one | two)
        wrong += near.is_near_duplicate(minhash_signature(talk(second, ""))) != (similarity >= 0.8)
    assert wrong <= 1
    assert near.is_near_duplicate(minhash_signature(talk(first, ""))) and not near.is_near_duplicate(
        minhash_signature(talk("short", ""))
    )
    with pytest.raises(UserError, match="above 0 and at most 1"):
        NearDuplicates(1.5)


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.7, 0.8, 0.9])
def test_near_duplicates_are_found_at_any_similarity(similarity: float) -> None:
    """Pairs a little more similar than asked for, by the share of shingles they truly have in common."""
    rng, near, found = random.Random(0), NearDuplicates(similarity), 0
    share = similarity + 0.4 * (1 - similarity)
    common = round(600 * 2 * share / (1 + share))  # words at the start that both have: common / (2 * 600 - common)
    for number in range(60):
        words = [f"w{rng.randrange(10**9)}" for _ in range(600)]
        other = words[:common] + [f"x{rng.randrange(10**9)}" for _ in range(600 - common)]
        assert not near.is_near_duplicate(minhash_signature(talk(" ".join(words), f"a{number}")))
        found += near.is_near_duplicate(minhash_signature(talk(" ".join(other), f"b{number}")))
    assert found >= 0.85 * 60
