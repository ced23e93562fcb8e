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
    overlap = 2 * common / (len(truth) + len(said)) if common else 0.0
    rating = 1 + round(9 * overlap)
    return (
        f"Rule-based reference judge: {common} of the reference's {len(truth)} words appear in order in the answer's "
        f"{len(said)} words (ROUGE-L F {overlap:.2f}).\n\nRating: [[{rating}]]"
    )


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
