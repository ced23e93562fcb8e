"""What was thought, written before an answer: by formats that have no place of their own for it."""

from conversations.tokens.span import Span

# As DeepSeek-R1 and Qwen3 write it.
THINK_OPEN, THINK_CLOSE = "<think>\n", "\n</think>\n\n"


def thought_spans(reasoning: str | None, weight: float) -> list[Span]:
    """The thinking before an answer of that weight; none if there is none."""
    if not reasoning:
        return []
    tags = [Span(text, weight, False, answer=True, thought=True) for text in (THINK_OPEN, THINK_CLOSE)]
    return [tags[0], Span(reasoning, weight, True, answer=True, thought=True), tags[1]]
