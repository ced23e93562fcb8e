"""Key retrieval: a function that returns a number, somewhere in much code, and a question about it at the end.

The task is that of Roziere et al. 2023 (Code Llama), section 3.3, "Key retrieval"; the code around the key is made up,
so that no model has seen it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from camelid.charts import grid_chart
from camelid.files.write import write_json

Count = Callable[[str], int]  # tokens of a text

NAMES = (
    "amount area average base border cache center count cursor delta depth edge factor field frame index input item"
    " length level limit margin mask offset order page pixel point range rate record row scale score segment signal"
    " size slot speed state step table total value vector weight width window"
).split()
DIGITS = 5  # of a key


@dataclass(frozen=True)
class KeyQuestion:
    """One prompt.

    Attributes:
        length: tokens that the prompt may have.
        depth: where the key stands, from 0 (the beginning) to 1 (the end).
        prompt: ends where the answer begins.
        key: what the answer must begin with.
    """

    length: int
    depth: float
    prompt: str
    key: str

    def is_right(self, answer: str) -> bool:
        """Whether an answer is the number, and nothing longer."""
        said = answer.strip()
        return said.startswith(self.key) and not said[len(self.key) :][:1].isdigit()


def ask_for_key(length: int, depth: float, seed: int, count: Count) -> KeyQuestion:
    """Make a prompt of at most `length` tokens, and nearly as many, one kept for what begins a text.

    Args:
        length: tokens.
        depth: see `KeyQuestion`.
        seed: of the code and of the key.
        count: tokens of a text by the model's tokenizer, without what begins it.
    """
    random = Random(f"{seed}/{length}/{depth}")
    name, key = f"key_{random.choice(NAMES)}", str(random.randrange(10 ** (DIGITS - 1), 10**DIGITS))
    told = f'def {name}():\n    """Return the key."""\n    return {key}\n\n\n'
    asked = f"# What does {name} return?\nassert {name}() == "
    room, fillers = length - 1 - count(told) - count(asked), list[str]()
    while room > 0:
        fillers.append(_function(random, len(fillers)))
        room -= count(fillers[-1])

    def prompt() -> str:
        place = round(depth * len(fillers))
        return "".join([*fillers[:place], told, *fillers[place:], asked])

    while fillers and count(prompt()) >= length:
        fillers.pop()
    return KeyQuestion(length, depth, prompt(), key)


def _function(random: Random, number: int) -> str:
    """A function that does some arithmetic."""
    one, two, result = random.sample(NAMES, 3)
    lines = [f"def {random.choice(NAMES)}_{number}({one}, {two}):"]
    lines += [f"    {result} = {one} * {random.randrange(2, 100)} + {two}"]
    lines += [f"    {result} -= {random.choice((one, two))} // {random.randrange(2, 10)}"] * random.randrange(3)
    return "\n".join([*lines, f"    return {result}", "", "", ""])


def share_right(questions: Sequence[KeyQuestion], answers: Sequence[str]) -> dict[tuple[int, float], float]:
    """Of the questions of each length and depth, the share that was answered rightly."""
    found: dict[tuple[int, float], list[bool]] = {}
    for question, answer in zip(questions, answers, strict=True):
        found.setdefault((question.length, question.depth), []).append(question.is_right(answer))
    return {place: sum(right) / len(right) for place, right in found.items()}


def write_shares(folder: Path, shares: dict[tuple[int, float], float], facts: dict[str, Any]) -> None:
    """Write `retrieval.json`, `retrieval.svg` and `.png` into a folder."""
    records = [{"length": length, "depth": depth, "right": share} for (length, depth), share in shares.items()]
    write_json(folder / "retrieval.json", {**facts, "shares": records})
    lengths = list(dict.fromkeys(length for length, _ in shares))
    depths = list(dict.fromkeys(depth for _, depth in shares))
    rows = {f"{length:,}": [shares[length, depth] for depth in depths] for length in lengths}
    columns = [f"{depth:g}" for depth in depths]
    grid_chart(folder / "retrieval.svg", rows, columns, "Keys found, %", "place of the key", "tokens of the prompt")
