"""Our own evaluation questions by number, and how a computed answer is found in a reference."""

import os
import re
from pathlib import Path

from eval.ask.questions import read_questions

DATA = Path(__file__).parents[3] / "eval" / "data"
SINGLE, TWO_TURN = (read_questions(DATA / f"questions_{name}.jsonl") for name in ("single", "two_turn"))
BY_ID = {int(question.id): question for question in SINGLE + TWO_TURN}
REAL = Path(os.environ.get("CAMELID_REAL_DATA", "/nowhere"))


def turn(number: int, index: int = 0) -> str:
    return BY_ID[number].turns[index]


def ref(number: int, index: int = 0) -> str:
    return BY_ID[number].references[index]


def says(number: int, index: int, *answers: object) -> None:
    """The answers stand in this order in the reference's first sentence, as numbers or words of their own."""
    head = re.split(r"\.\s|\.$|\n", ref(number, index))[0]
    pattern = r"(?![\w]|[.,]\d).*?".join(r"(?<![\w.-])" + re.escape(str(answer)) for answer in answers)
    assert re.search(pattern + r"(?!\w|[.,]\d)", head, re.DOTALL), f"{answers} not in {head!r}"
