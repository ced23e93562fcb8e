"""Text that is no conversation into token ids: from its beginning, or from its middle."""

import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer

from camelid.errors import UserError
from conversations.tokens.respell import new_mark, respell, untypeable


class TextEncoder:
    """A tokenizer, ready to encode text in which a control token that somebody typed stays text.

    Args:
        tokenizer: a Hugging Face fast tokenizer (`PreTrainedTokenizerFast`).
        control: tokens to treat as control tokens besides those that the tokenizer itself calls special.

    Attributes:
        start: the BOS token, where the tokenizer begins a text with it; else nothing.
        anchor: one ordinary token. Put before ids that go on from other text, it keeps a decoder from taking their
            first blank for the one that SentencePiece puts before a text.

    Raises:
        UserError: the tokenizer is not a fast one.
    """

    def __init__(self, tokenizer: Any, control: Iterable[str] = ()) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UserError(f"{tokenizer.name_or_path}: a fast tokenizer (tokenizer.json) is needed")
        added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
        names = {token.content: index for index, token in added.items()}
        special = {token.content for token in added.values() if token.special}.union(control)
        spelled = untypeable({name: index for name, index in names.items() if name in special}, new_mark())
        self._first = respell(tokenizer.backend_tokenizer, spelled)
        self._inner = _without_implicit_blank(self._first)
        self._original_id = {self._first.token_to_id(spelled.get(name, name)): index for name, index in names.items()}
        begins_with_bos = tokenizer("", add_special_tokens=True)["input_ids"][:1] == [tokenizer.bos_token_id]
        self.start: list[int] = [tokenizer.bos_token_id] if begins_with_bos else []
        self.anchor = self.encode_inner("x")[-1:]

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without `start`."""
        return self._ids(self._first, text)

    def encode_inner(self, text: str) -> list[int]:
        """Ids of a text that goes on from another: without the blank that SentencePiece puts before a text.

        What Meta's Code Llama does for suffix and middle by encoding behind a letter and leaving that out again
        (github.com/meta-llama/codellama, llama/tokenizer.py, `encode_infilling`).
        """
        return self._ids(self._inner, text)

    def _ids(self, tokenizer: Tokenizer, text: str) -> list[int]:
        original = self._original_id
        return [original.get(index, index) for index in tokenizer.encode(text, add_special_tokens=False).ids]


def _without_implicit_blank(tokenizer: Tokenizer) -> Tokenizer:
    """A copy that puts no blank before a text, in any of the ways tokenizer files ask for it."""
    state = json.loads(tokenizer.to_str())
    for stage in ("normalizer", "pre_tokenizer"):
        state[stage] = _never_prepends(state[stage])
    return Tokenizer.from_str(json.dumps(state))


def _never_prepends(step: dict[str, Any] | None) -> dict[str, Any] | None:
    if step is None or step["type"] == "Prepend":
        return None
    if step["type"] == "Metaspace":
        return {**step, "prepend_scheme": "never"}
    if step["type"] == "ByteLevel":
        return {**step, "add_prefix_space": False}
    for name in ("normalizers", "pretokenizers"):
        if name in step:
            return {**step, name: [kept for one in step[name] if (kept := _never_prepends(one)) is not None]}
    return step
