"""Grades a record of instruction data by the answer that the embedded model itself would give."""

import math
import re

from camelid.models.offline.judge import overlap
from camelid.models.offline.solve import solve
from camelid.text.words import count_words

_RECORD = re.compile(
    r"\[Instruction\]\n(.*?)\n\[End of instruction\].*?\[Input\]\n(.*?)\n\[End of input\].*?"
    r"\[Output\]\n(.*?)\n?\[End of output\]",
    re.DOTALL,
)
_NO_INPUT = "(none)"
BEST = 5  # of the scale from 0 that the quality prompt asks for


def grade(prompt: str) -> str | None:
    """Score a record in a prompt like `selfinstruct/data/quality.txt`.

    The score is 5 x F, where F is the ROUGE-L F-measure (Lin 2004) of the words of output and own answer.

    Args:
        prompt: sections `[Instruction]`, `[Input]`, `[Output]`.

    Returns:
        A sentence and `Score: [[n]]`; None if the prompt has no such sections or the task is none of its own.
    """
    found = _RECORD.search(prompt)
    if not found:
        return None
    given = "" if found[2] == _NO_INPUT else found[2]
    truth = solve(f"{found[1]}\n\n{given}")
    if truth is None:
        return None
    common = overlap(truth, found[3])
    return f"The output agrees with my own answer by ROUGE-L F {common:.2f}.\nScore: [[{BEST * common:.1f}]]"


_QUESTION = re.compile(r"\[Question\]\n(.*?)\n\[End of question\]", re.DOTALL)
_ANSWER = re.compile(r"\[Answer\]\n(.*?)\n?\[End of answer\]", re.DOTALL)
_EASY = 8  # words of a question that gets the lowest grade of complexity; each doubling is worth a grade


def grade_exchange(prompt: str) -> str | None:
    """Grade from 1 to 6, in a prompt like `conversations/data/grade_quality.txt` or `grade_complexity.txt`.

    Quality is 1 + 5 x F, rounded, by the overlap with the own answer as in `grade`; complexity goes by how many words
    the question has.

    Args:
        prompt: a section `[Question]`, and `[Answer]` where quality is asked for.

    Returns:
        The number; None if the prompt has no such section, or the question is none of its own.
    """
    question, answer = _QUESTION.search(prompt), _ANSWER.search(prompt)
    truth = solve(question[1]) if question else None
    if not question or truth is None:
        return None
    if answer:
        return str(1 + round(5 * overlap(truth, answer[1])))
    return str(min(6, max(1, 1 + round(math.log2(max(1, count_words(question[1])) / _EASY)))))
