"""Comments of TeX out, as TeX reads them, and what only looks like one kept."""

import re

# Environments and commands inside of which `%` is a sign like any other.
_ENVIRONMENTS = r"verbatim\*?|Verbatim\*?|BVerbatim|LVerbatim|lstlisting|minted|alltt|filecontents\*?|pycode|sagesilent"
VERBATIM = re.compile(
    rf"\\begin\{{({_ENVIRONMENTS})\}}.*?\\end\{{\1\}}"
    r"|\\(?:verb\*?|lstinline(?:\[[^\]\n]*\])?|mintinline\{[^}\n]*\})([^\sA-Za-z*{])[^\n]*?\2"
    r"|\\(?:url|path|nolinkurl|lstinline|mintinline\{[^}\n]*\})\{[^{}\n]*\}|\\href\{[^{}\n]*\}",
    re.DOTALL,
)
_PERCENT = re.compile(r"(?<!\\)((?:\\\\)*)%[^\n]*(\n?)([ \t]*)")
_COMMENT_BLOCK = re.compile(r"\\begin\{comment\}.*?\\end\{comment\}[ \t]*\n?", re.DOTALL)
_ENDS_IN_WORD = re.compile(r"(?<!\\)(?:\\\\)*\\[a-zA-Z@]+$")
_NEVER = re.compile(r"\\iffalse\b")
_IF = re.compile(r"\\(if[a-zA-Z@]*|fi)(?![a-zA-Z@])")
_NO_TEST = {"ifthenelse", "iff", "ifx@", "ifcsname@"}  # begin with `if` and are no conditionals
_HELD = re.compile("\ue000(\\d+)\ue001")


class Verbatim:
    """What stands verbatim in a paper, each stretch in place of which a mark stands while the rest is worked on."""

    def __init__(self) -> None:
        self._held: list[str] = []

    def hold(self, text: str) -> str:
        """The text with marks for what is verbatim; what is commented out is not."""
        text = text.replace("\ue000", "").replace("\ue001", "")
        kept, last = [], 0
        for found in VERBATIM.finditer(text):
            if found.start() < last or _is_commented(text, found.start()):
                continue
            kept += [text[last : found.start()], f"\ue000{len(self._held)}\ue001"]
            self._held.append(found[0])
            last = found.end()
        return "".join([*kept, text[last:]])

    def restore(self, text: str) -> str:
        """The text with what is verbatim back in its place."""
        while _HELD.search(text):
            text = _HELD.sub(lambda found: self._held[int(found[1])], text)
        return text


def _is_commented(text: str, at: int) -> bool:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return re.search(r"(?<!\\)(?:\\\\)*%", line) is not None


def strip_comments(text: str) -> str:
    """The text without comments; what is verbatim must be held (`Verbatim.hold`).

    As TeX does, a comment right behind a word takes the end of its line with it, and the blanks the next one begins
    with. A line that is but a comment goes whole, `comment` environments and `\\iffalse ... \\fi` too.
    """
    text = _PERCENT.sub(_without, text)
    text = _COMMENT_BLOCK.sub("", text) if "{comment}" in text else text
    return _without_never(text) if "\\iffalse" in text else text


def _without(found: re.Match[str]) -> str:
    """What stands for a comment: nothing, or the end of its line."""
    before = found.string[found.string.rfind("\n", 0, found.start()) + 1 : found.start()] + found[1]
    newline, indent = found[2], found[3]
    if not before.strip():
        return found[1] + indent  # the line goes; the next one keeps its indent
    if before[-1].isspace():
        return found[1] + newline + indent
    after = found.string[found.end() : found.end() + 1]
    needed = after in ("\n", "") or (after.isalpha() and _ENDS_IN_WORD.search(before))
    return found[1] + (newline if needed else "")


def _without_never(text: str) -> str:
    kept, at = [], 0
    while begin := _NEVER.search(text, at):
        depth, end = 0, len(text)
        for found in _IF.finditer(text, begin.start()):
            if found[1] == "fi":
                depth -= 1
            elif found[1] not in _NO_TEST:
                depth += 1
            if depth == 0:
                end = found.end()
                break
        kept.append(text[at : begin.start()])
        at = end
    return "".join([*kept, text[at:]])
