"""Decisions without most of the comparisons are rouge_score's, texts exactly at the limit included."""

import random

import pytest
from rouge_score import rouge_scorer

from camelid.text.words import rouge_tokens
from selfinstruct.keep.near_texts import NearTexts
from tests.camelid.text.random_texts import texts


def check(kept: list[str], candidates: list[str], limit: float) -> int:
    """Compare every decision, and the score of what is near; return how many are near."""
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    near, found = NearTexts(kept, rouge_tokens, limit), 0
    for candidate in candidates:
        expected = max(scorer.score(text, candidate)["rougeL"].fmeasure for text in kept)
        got = near.highest(candidate)
        assert (got > limit) == (expected > limit), candidate
        if got > limit:
            assert got == expected
            found += 1
    return found


@pytest.mark.parametrize("limit", [0.3, 0.5, 0.7, 0.9])
def test_decisions_on_random_texts(limit: float) -> None:
    check(texts(80, 12), texts(80, 13), limit)


@pytest.mark.parametrize(("words", "count"), [(12, 40), (400, 4)])
def test_decisions_on_changed_texts(words: int, count: int) -> None:
    """A text with some words changed, moved or repeated: about as many near as not, many exactly at the limit."""
    rng = random.Random(words)
    vocabulary = [f"w{int(60 ** rng.random())}" for _ in range(200)]
    kept = [" ".join(rng.choices(vocabulary, k=rng.randint(words // 2, words))) for _ in range(count)]
    candidates = []
    for _ in range(3 * count):
        changed = rng.choice(kept).split()
        for _ in range(rng.randint(0, len(changed) * 2 // 3)):
            place = rng.randrange(len(changed))
            changed[place : place + rng.choice([0, 1, 1, 2])] = rng.choices(vocabulary, k=rng.choice([0, 1, 1]))
            changed = changed or ["w1"]
        candidates.append(" ".join(changed))
    near = check(kept, candidates, 0.7)
    assert count // 2 <= near <= 3 * count - count // 2


def test_two_thirds_in_common_at_that_limit() -> None:
    """4 of 6 words on both sides: F is 2/3 as rouge_score rounds it, whatever the limit's own rounding."""
    assert check(["a b c d e f"] * 2, ["a b c d x y", "x a y b c d", "d c b a x y"], 2 / 3 - 1e-12) == 2
    assert NearTexts(["a b c d e f"], rouge_tokens, 2 / 3).highest("a b c d x y") <= 2 / 3


def test_nothing_kept_or_said() -> None:
    assert (
        NearTexts().highest("anything") == NearTexts(["a", ""]).highest("") == NearTexts(["", "b"]).highest("!?") == 0
    )
