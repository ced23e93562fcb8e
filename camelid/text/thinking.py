"""What a model thought apart from what it answered, where both stand in one text."""

import re
from dataclasses import dataclass

# How models open and close their thinking: DeepSeek-R1, Qwen3 and most others; `<thinking>` and `<thought>` of prompts
# and of Gemini's OpenAI endpoint; Seed-OSS; Magistral; Kimi; Cohere's Command A Reasoning; gpt-oss ("harmony").
# From their model cards and chat templates.
_CLOSING = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<seed:think>": "</seed:think>",
    "[think]": "[/think]",
    "◁think▷": "◁/think▷",
    "<|start_thinking|>": "<|end_thinking|>",
    "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",
}
_OPEN = "|".join(map(re.escape, _CLOSING))
_CLOSE = "|".join(map(re.escape, _CLOSING.values()))
_LEADING = re.compile(rf"\s*({_OPEN})", re.IGNORECASE)
# The template of DeepSeek-R1 ends in `<think>`, so that a reply begins inside. A tag that a sentence only names is
# not at the end of a line, nor at its start, nor between two words without a blank.
_UNOPENED = re.compile(
    rf"^[ \t]*(?:{_CLOSE})|(?:{_CLOSE})[ \t]*$|(?<=[^\s`\"'])(?:{_CLOSE})(?=[^\s`\"'.,;])", re.IGNORECASE | re.MULTILINE
)
_CLOSED = re.compile(rf"\s*(?:{_CLOSE})\n{{0,2}}", re.IGNORECASE)
_ENDS_OPEN = re.compile(rf"(?:{_OPEN})\s*$", re.IGNORECASE)
_ANY = re.compile(f"{_OPEN}|{_CLOSE}", re.IGNORECASE)
_LATER = re.compile(rf"^[ \t]*({_OPEN})", re.IGNORECASE | re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Thought:
    """A model's text in its two parts.

    Attributes:
        thinking: without its tags; may be empty.
        answer: as it was written, behind the thinking or around it; None if the thinking never ends.
    """

    thinking: str
    answer: str | None


def split_thinking(text: str) -> tuple[str, str]:
    """A model's thinking (empty if there is none) and its answer (empty if the thinking never ends)."""
    thought = find_thinking(text)
    return (thought.thinking, thought.answer or "") if thought else ("", text)


def opened_thinking(prompt: str) -> str:
    """The tag at the end of a prompt that begins the model's thinking, with the blanks behind it; else nothing."""
    found = _ENDS_OPEN.search(prompt)
    return found[0] if found else ""


def end_of_closing(text: str) -> int:
    """Where the answer begins in a text that ends thinking: behind the tag and an empty line; 0 if it doesn't."""
    found = _CLOSED.match(text)
    return found.end() if found else 0


def closing_tag(opened: str) -> str:
    """What ends the thinking that a tag opens."""
    return _CLOSING[opened.strip().lower()]


def find_thinking(text: str) -> Thought | None:
    """Tell a model's thinking from its answer; None if there is no thinking in the text.

    A tag inside an answer that stands in a sentence or in fenced code is the answer's own.
    """
    if not _may_hold_tag(text) or not _ANY.search(text):
        return None
    thoughts: list[str] = []
    rest = text
    while opened := _LEADING.match(rest):
        thought, closed, rest = _cut(rest, opened)
        thoughts.append(thought)
        if not closed:
            return Thought(_joined(thoughts), None)
    closed_at = _UNOPENED.search(rest)
    if closed_at and not re.search(_OPEN, rest[: closed_at.start()], re.IGNORECASE):
        thoughts.append(rest[: closed_at.start()])
        rest = rest[closed_at.end() :]
    place = 0
    while later := _LATER.search(rest, place):
        place = later.end()
        before = rest[: later.start()]
        thought, closed, after = _cut(rest, later)
        if closed and len(_FENCE.findall(before)) % 2 == 0:
            thoughts.append(thought)
            rest, place = f"{before.rstrip()}\n\n{after.lstrip()}".lstrip(), len(before)
    return Thought(_joined(thoughts), rest.lstrip()) if thoughts else None


def _may_hold_tag(text: str) -> bool:
    """Whether the patterns can find anything, in little time: most texts have no such letters."""
    if "hink" in text or "HINK" in text:
        return "<" in text or "[" in text or "◁" in text
    return ("|" in text and "|>" in text) or "ought>" in text or "OUGHT>" in text


def _cut(text: str, opened: re.Match[str]) -> tuple[str, bool, str]:
    """The thinking that a tag opens, whether it is closed, and what comes behind."""
    close = re.compile(re.escape(_CLOSING[opened[1].lower()]), re.IGNORECASE).search(text, opened.end())
    if close is None:
        return text[opened.end() :], False, ""
    return text[opened.end() : close.start()], True, text[close.end() :]


def _joined(thoughts: list[str]) -> str:
    return "\n\n".join(thought.strip() for thought in thoughts if thought.strip())
