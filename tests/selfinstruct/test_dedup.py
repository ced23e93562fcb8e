"""Similarity decisions equal rouge_score's to the last bit."""

import random

from rouge_score import rouge_scorer

from selfinstruct.dedup import SimilarTexts, tokens

WORDS = "write a short story about the red fox and its 3 friends in Paris, don't use Ünïcode é or 東京".split()


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(0, 14))) for _ in range(count)]


def test_tokens_are_rouge_scores() -> None:
    from rouge_score.tokenizers import DefaultTokenizer

    reference = DefaultTokenizer(use_stemmer=False)
    for text in [*texts(300, 1), "  ", "A_b-c", "x\ty\n", "İstanbul ß", "1,000.5%"]:
        assert tokens(text) == reference.tokenize(text)


def test_scores_are_bit_identical() -> None:
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    kept, candidates = texts(60, 2), texts(80, 3)
    similar = SimilarTexts(kept)
    for candidate in candidates:
        expected = [scorer.score(text, candidate)["rougeL"].fmeasure for text in kept]
        got = similar.compare(candidate)
        assert got.highest == max(expected)
        for text, score in got.most_similar.items():
            assert score in [value for value, other in zip(expected, kept, strict=True) if other == text]
        assert abs(got.average - sum(expected) / len(expected)) < 1e-12


def test_nothing_kept_is_similar_to_nothing() -> None:
    assert SimilarTexts([]).compare("anything").highest == 0.0
