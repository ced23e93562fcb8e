"""Tokens into text as they come: never half a character, never part of a stop string."""

from typing import Any


class TextStream:
    """The text of one answer.

    Args:
        tokenizer: decodes token ids.
        stop: strings that end the answer wherever token boundaries fall; they are not part of the text.
        after: tokens that the answer's text goes on from.

    Attributes:
        stopped: whether a stop string has come.
    """

    def __init__(self, tokenizer: Any, stop: tuple[str, ...], after: tuple[int, ...] = ()) -> None:
        self._tokenizer, self._stop = tokenizer, stop
        self._ids = list(after)
        self._start, self._read = 0, len(after)  # ids[start:read] are decoded again as context for what follows
        self._held = ""
        self.stopped = False

    def add(self, token: int) -> str:
        """Take a token; return the text that is certain by now."""
        if self.stopped:
            return ""
        self._ids.append(token)
        before = self._decode(self._ids[self._start : self._read])
        after = self._decode(self._ids[self._start :])
        if len(after) <= len(before) or after.endswith("\N{REPLACEMENT CHARACTER}"):
            return ""  # a character is not complete yet
        self._start, self._read = self._read, len(self._ids)
        self._held += after[len(before) :]
        return self._release()

    def finish(self) -> str:
        """Return what was still held back; there will be no more tokens."""
        if self.stopped:
            return ""
        before = self._decode(self._ids[self._start : self._read])
        self._held += self._decode(self._ids[self._start :])[len(before) :]
        self._start = self._read = len(self._ids)
        text = self._release()
        text, self._held = text + self._held, ""
        return text

    def _release(self) -> str:
        places = [place for place in map(self._held.find, self._stop) if place >= 0]
        if places:
            self.stopped = True
            text, self._held = self._held[: min(places)], ""
            return text
        keep = max((_overlap(self._held, stop) for stop in self._stop), default=0)
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text


class NoText:
    """In place of a `TextStream` where nobody reads the text as it comes: decoding costs more than choosing a token."""

    stopped = False

    def add(self, token: int) -> str:
        return ""

    def finish(self) -> str:
        return ""


class TrimmedText:
    """Text that comes in pieces, without the white space before its first word and after its last.

    Args:
        begun: whether it goes on with a text, so that the white space before its first word stays.
    """

    def __init__(self, begun: bool = False) -> None:
        self._begun = begun
        self._held = ""

    def add(self, text: str) -> str:
        """Take a piece; return what is certain by now."""
        text = self._held + text if self._begun else text.lstrip()
        shown = text.rstrip()
        self._held = text[len(shown) :]
        self._begun = self._begun or bool(shown)
        return shown


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that is a beginning of `stop`."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)
