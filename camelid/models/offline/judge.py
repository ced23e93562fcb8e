"""A judge by the reference alone: how much of it the answer says, in order. No opinion of its own."""

import re

from rapidfuzz.distance import LCSseq

_QUESTION_REFERENCE = re.compile(
    r"\[The Start of Reference Answer\]\n(.*?)\n\[The End of Reference Answer\]", re.DOTALL
)
_ANSWER = re.compile(r"\[The Start of Assistant's Answer\]\n(.*?)\n?\[The End of Assistant's Answer\]", re.DOTALL)
_PAIR = re.compile(
    r"\[The Start of Assistant A's Answer\]\n(.*?)\n?\[The End of Assistant A's Answer\].*?"
    r"\[The Start of Assistant B's Answer\]\n(.*?)\n?\[The End of Assistant B's Answer\]",
    re.DOTALL,
)


def judge(prompt: str) -> str | None:
    """Answer a judge prompt that has a reference.

    The rating is 1 + 9 x F, rounded, where F is the ROUGE-L F-measure (Lin 2004) of the words. Of two answers the one
    with the larger F is better.

    Args:
        prompt: sections marked as in MT-bench (`[The Start of Reference Answer]`, ...).

    Returns:
        A verdict ending in `Rating: [[n]]`, or in `[[A]]`, `[[B]]` or `[[C]]` of two answers; None if the prompt has no
        such sections.
    """
    reference, answer, pair = (pattern.search(prompt) for pattern in (_QUESTION_REFERENCE, _ANSWER, _PAIR))
    if reference and pair:
        return _compare(reference[1], pair[1], pair[2])
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


def _compare(truth: str, first: str, second: str) -> str:
    one, two = overlap(truth, first), overlap(truth, second)
    verdict = "C" if one == two else "AB"[one < two]
    return (
        f"Rule-based reference judge: by ROUGE-L F, Assistant A agrees with the reference by {one:.2f}, Assistant B by "
        f"{two:.2f}.\n\n[[{verdict}]]"
    )


def overlap(truth: str, said: str) -> float:
    """ROUGE-L F-measure of the words of two texts, from 0 to 1."""
    true_words, said_words = _words(truth), _words(said)
    common = LCSseq.similarity(true_words, said_words)
    return 2 * common / (len(true_words) + len(said_words)) if common else 0.0


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
