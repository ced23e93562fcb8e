"""A tokenizer that only has to decode."""


class Letters:
    """Decodes token n as the n-th character from 'A'."""

    def decode(self, ids: list[int], skip_special_tokens: bool = False) -> str:
        return "".join(chr(65 + index) for index in ids)
