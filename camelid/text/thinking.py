"""What a model thought apart from what it answered, where both stand in one text."""

import re

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
_ANY = re.compile(f"{_OPEN}|{_CLOSE}", re.IGNORECASE)
_LATER = re.compile(rf"^[ \t]*({_OPEN})", re.IGNORECASE | re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


def split_thinking(text: str) -> tuple[str, str]:
    """Split a model's text into its thinking (empty if there is none) and its answer.

    A text without thinking is returned as it is. Of one that ends before its thinking does, the answer is empty.
    A tag inside an answer that stands in a sentence or in fenced code is the answer's own.
    """
    if not _ANY.search(text):
        return "", text
    thoughts: list[str] = []
    rest = text
    while opened := _LEADING.match(rest):
        thought, closed, rest = _cut(rest, opened)
        thoughts.append(thought)
        if not closed:
            return _joined(thoughts), ""
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
            rest, place = f"{before.rstrip()}\n\n{after.lstrip()}".strip(), len(before)
    return (_joined(thoughts), rest.strip()) if thoughts else ("", text)


def _cut(text: str, opened: re.Match[str]) -> tuple[str, bool, str]:
    """The thinking that a tag opens, whether it is closed, and what comes behind."""
    close = re.compile(re.escape(_CLOSING[opened[1].lower()]), re.IGNORECASE).search(text, opened.end())
    if close is None:
        return text[opened.end() :], False, ""
    return text[opened.end() : close.start()], True, text[close.end() :]


def _joined(thoughts: list[str]) -> str:
    return "\n\n".join(thought.strip() for thought in thoughts if thought.strip())
