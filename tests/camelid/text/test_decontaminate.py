"""Questions are found in training text, and only they."""

from camelid.text.decontaminate import NGRAM, Decontaminator

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


def test_a_short_question_matches_as_a_whole() -> None:
    contamination = Decontaminator(["What is the capital of France?"])
    assert contamination.match("Hey! what is THE capital, of France. Thanks") == "What is the capital of France?"
    assert contamination.match("What is the capital of Spain?") is None
    assert contamination.match("the capital of France") is None


def test_a_long_question_matches_by_twelve_words_in_a_row() -> None:
    contamination = Decontaminator([LONG])
    words = LONG.split()
    assert contamination.match("so " + " ".join(words[1 : 1 + NGRAM]) + " end") == LONG
    assert contamination.match(" ".join(words[: NGRAM - 1])) is None
    assert contamination.match(" ".join(reversed(words))) is None


def test_empty_questions_match_nothing() -> None:
    assert Decontaminator(["", "?!"]).match("anything") is None
