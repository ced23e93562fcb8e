"""Verb and noun of an instruction, checked by hand."""

import pytest

from selfinstruct.verb_noun import count_pairs, verb_noun


@pytest.mark.parametrize(
    ("instruction", "pair"),
    [
        ("Write a short story about a red fox.", ("write", "story")),
        ("Rewrite this sentence without changing the meaning:", ("rewrite", "sentence")),
        ("Please give me three tips for staying healthy.", ("give", "tip")),
        ("Given a website, classify the content into categories.", ("classify", "content")),
        ("Could you explain the difference between birds and mammals?", ("explain", "difference")),
        ("Delete the last two paragraphs from the text.", ("delete", "paragraph")),
        ("Sum up the numbers.", ("sum", "number")),
        ("Sort the words alphabetically.", ("sort", "word")),
        ("Make the sentence negative.", ("make", "sentence")),
        ("Make a reply.", ("make", "reply")),
        ("What are the benefits of exercising?", None),
        ("Explain how a computer works.", None),
        ("Write about teamwork.", None),
        ("", None),
        ("请写一首诗。", None),
    ],
)
def test_pairs(instruction: str, pair: tuple[str, str] | None) -> None:
    assert verb_noun(instruction) == pair


def test_the_most_frequent_come_first() -> None:
    texts = ["Write a story.", "Write a poem.", "Write a story.", "Name a city.", "Is it?"]
    assert count_pairs(texts) == {"write": {"story": 2, "poem": 1}, "name": {"city": 1}}
    assert count_pairs(texts, verbs=1, nouns=1) == {"write": {"story": 2}}
