"""What an assistant thought before it spoke, apart from what it said."""

import re
from dataclasses import dataclass

# DeepSeek-R1's and Qwen3's tags around the thoughts before an answer; `thinking` is in sets made with other models.
_OPEN = re.compile(r"\s*<(think|thinking)>")


@dataclass(frozen=True, slots=True)
class Thought:
    """An answer in its two parts.

    Attributes:
        reasoning: the thoughts; None if they are empty.
        answer: what follows them; None if they never end.
    """

    reasoning: str | None
    answer: str | None


def part_thinking(text: str) -> Thought | None:
    """Take the thoughts that an answer begins with from it; None if it begins with none."""
    opening = _OPEN.match(text)
    if not opening:
        return None
    inside, closing, answer = text[opening.end() :].partition(f"</{opening[1]}>")
    return Thought(inside.strip() or None, answer.lstrip() if closing else None)


def join_reasoning(*thoughts: str | None) -> str | None:
    """Several thoughts as one; None if there are none."""
    return "\n\n".join(thought for thought in thoughts if thought) or None
