"""Grades a record of instruction data by the answer that the embedded model itself would give."""

import re

from camelid.models.offline.judge import overlap
from camelid.models.offline.solve import solve

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
