"""Our own evaluation questions as a set; the files beside this one check their references."""

import os
from collections import Counter

import pytest

from eval.ask.questions import Question, read_questions
from selfinstruct.keep.rouge import SimilarTexts
from tests.eval.ask.own_questions import BY_ID, REAL, SINGLE, TWO_TURN

VICUNA_COUNTS = dict.fromkeys(
    ("generic", "knowledge", "roleplay", "common-sense", "fermi", "counterfactual", "writing"), 10
) | {"coding": 7, "math": 3}
MT_BENCH = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
TEXTS = [text for question in BY_ID.values() for text in question.turns]


def test_counts_and_ids() -> None:
    assert Counter(question.category for question in SINGLE) == VICUNA_COUNTS
    assert Counter(question.category for question in TWO_TURN) == dict.fromkeys(MT_BENCH, 10)
    assert [int(question.id) for question in SINGLE + TWO_TURN] == [*range(1, 81), *range(101, 181)]
    assert all(len(question.turns) == 1 for question in SINGLE)
    assert all(len(question.turns) == 2 for question in TWO_TURN)


def test_references_where_there_is_a_right_answer() -> None:
    need = ("math", "coding", "fermi", "reasoning", "extraction")
    assert all(question.references for question in SINGLE + TWO_TURN if question.category in need)
    assert all(
        text.strip() == text != "" for question in BY_ID.values() for text in question.turns + question.references
    )
    assert max(len(text) for question in BY_ID.values() for text in question.references) < 2000


def test_no_two_questions_are_alike() -> None:
    before = SimilarTexts([])
    for text in TEXTS:
        assert before.compare(text).highest < 0.5, text
        before.add(text)


@pytest.mark.skipif("CAMELID_REAL_DATA" not in os.environ, reason="CAMELID_REAL_DATA is not set")
def test_none_is_like_a_published_one() -> None:
    published: list[Question] = []
    for name in ("mt_bench", "vicuna80"):
        published += read_questions(REAL / name / "question.jsonl")
    theirs = [text for question in published for text in question.turns]
    assert len(theirs) == 240
    known = SimilarTexts(theirs)
    for text in TEXTS:
        assert known.compare(text).highest < 0.5, text
