"""Similarity decisions equal rouge_score's to the last bit."""

import random

from rouge_score import rouge_scorer

from camelid.text.words import rouge_tokens
from selfinstruct.keep.nearness import LIMIT
from selfinstruct.keep.rouge import SimilarTexts
from tests.camelid.text.random_texts import texts


def test_scores_are_bit_identical() -> None:
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    kept, candidates = texts(60, 2), texts(80, 3)
    similar = SimilarTexts(kept, rouge_tokens)
    for candidate in candidates:
        expected = [scorer.score(text, candidate)["rougeL"].fmeasure for text in kept]
        got = similar.compare(candidate)
        assert got.highest == max(expected)
        for text, score in got.most_similar.items():
            assert score in [value for value, other in zip(expected, kept, strict=True) if other == text]
        assert abs(got.average - sum(expected) / len(expected)) < 1e-12


def test_nothing_kept_is_similar_to_nothing() -> None:
    assert SimilarTexts([]).compare("anything").highest == 0.0


def test_looking_ahead_changes_no_decision() -> None:
    kept, candidates = texts(3000, 4), texts(170, 5)
    ahead, single = SimilarTexts(kept, rouge_tokens), SimilarTexts(kept, rouge_tokens)
    added = 0
    for start in range(0, len(candidates), 17):
        ahead.look_ahead(candidates[start : start + 17])
        for text in candidates[start : start + 17]:
            found = ahead.compare(text)
            assert found == single.compare(text)
            if added % 3 == 0:  # so that the next of the same 17 have kept texts to be compared with
                ahead.add(text)
                single.add(text)
            added += 1


def test_the_nearest_are_found_among_many() -> None:
    rng = random.Random(6)
    many = [" ".join(rng.choices([str(number) for number in range(40)], k=rng.randint(3, 12))) for _ in range(3000)]
    similar = SimilarTexts(many)
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    expected = sorted(-scorer.score(text, many[7] + " 3")["rougeL"].fmeasure for text in many)[:10]
    assert [-score for score in similar.compare(many[7] + " 3").most_similar.values()] == expected


def test_a_duplicated_chinese_instruction_is_rejected() -> None:
    text, other = "请写一首关于春天的短诗。", "解释光合作用的过程。"
    assert SimilarTexts([text]).compare(text.replace("短诗", "小诗")).highest > LIMIT
    assert SimilarTexts([text]).compare(other).highest < 0.3
    assert SimilarTexts([text], rouge_tokens).compare(text).highest == 0.0  # what Alpaca's filter sees
