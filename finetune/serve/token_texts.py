"""What each token of a vocabulary stands for within a text."""

from typing import Any


class TokenTexts:
    """The table, made as tokens are asked for.

    Args:
        tokenizer: of the vocabulary.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, tuple[str, list[int] | None]] = {}

    def text(self, token: int) -> str:
        """A token's text, a leading space included."""
        return self.described(token)[0]

    def described(self, token: int) -> tuple[str, list[int] | None]:
        """Its text, and that in bytes; None where the token is a part of a character only."""
        if token not in self._known:
            decode = self._tokenizer.decode
            one, two = str(decode([token])), str(decode([token, token]))
            text = two[len(one) :] if two.startswith(one) else one
            known = None if "\N{REPLACEMENT CHARACTER}" in text else list(text.encode())
            self._known[token] = text, known
        return self._known[token]
