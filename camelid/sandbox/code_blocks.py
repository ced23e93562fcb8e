"""The code in an answer: the one place that takes it out, for whoever runs it."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A fenced block of Markdown.

    Attributes:
        label: the first word behind the fence, in small letters; empty where there is none.
        code: what is in it, with the line end before the closing fence.
    """

    label: str
    code: str


def code_blocks(text: str) -> list[CodeBlock]:
    """The fenced blocks of a Markdown text, in order, those in lists and quotations too; an open one ends the text."""
    from markdown_it import MarkdownIt

    return [
        CodeBlock((token.info.split() or [""])[0].lower(), token.content)
        for token in MarkdownIt("commonmark").parse(text)
        if token.type == "fence"
    ]


def find_code(text: str, fences: Collection[str], mark: str = "") -> str | None:
    """The code that an answer is about; None if it has no fenced block.

    Blocks labelled with the language come before those without a label, and these before others; among equals the first
    that holds `mark`, or else the first.

    Args:
        text: the answer.
        fences: the labels of the language, in small letters.
        mark: what tells the code from examples of its use, such as `def name`; empty for nothing.
    """
    blocks = code_blocks(text)
    if not blocks:
        return None

    def rank(block: CodeBlock) -> tuple[bool, bool, bool]:
        return block.label not in fences and block.label != "", bool(mark) and mark not in block.code, not block.label

    return min(blocks, key=rank).code  # of equals the first
