"""A judge by the reference alone: how much of it the answer says, in order. No opinion of its own."""

import re

from rapidfuzz.distance import LCSseq

_QUESTION_REFERENCE = re.compile(
    r"\[The Start of Reference Answer\]\n(.*?)\n\[The End of Reference Answer\]", re.DOTALL
)
_ANSWER = re.compile(r"\[The Start of Assistant's Answer\]\n(.*?)\n?\[The End of Assistant's Answer\]", re.DOTALL)


def judge(prompt: str) -> str | None:
    """Answer a judge prompt that has a reference.

    The rating is 1 + 9 x F, rounded, where F is the ROUGE-L F-measure (Lin 2004) of the words.

    Args:
        prompt: sections marked as in MT-bench (`[The Start of Reference Answer]`, ...).

    Returns:
        A verdict ending in `Rating: [[n]]`; None if the prompt has no such sections.
    """
    reference, answer = _QUESTION_REFERENCE.search(prompt), _ANSWER.search(prompt)
    if not answer or not reference:
        return None
    truth, said = _words(reference[1]), _words(answer[1])
    common = LCSseq.similarity(truth, said)
    f_measure = overlap(reference[1], answer[1])
    rating = 1 + round(9 * f_measure)
    return (
        f"Rule-based reference judge: {common} of the reference's {len(truth)} words appear in order in the answer's "
        f"{len(said)} words (ROUGE-L F {f_measure:.2f}).\n\nRating: [[{rating}]]"
    )


def overlap(truth: str, said: str) -> float:
    """ROUGE-L F-measure of the words of two texts, from 0 to 1."""
    true_words, said_words = _words(truth), _words(said)
    common = LCSseq.similarity(true_words, said_words)
    return 2 * common / (len(true_words) + len(said_words)) if common else 0.0


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
