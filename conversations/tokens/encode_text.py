"""Raw text as token ids: documents that nobody speaks in, between the tokens that begin and end a text."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from camelid.errors import UserError
from conversations.tokens.respell import control_tokens, new_mark, respell, spell_controls


class TextEncoder:
    """A tokenizer, ready to encode documents; what looks like a control token in them is plain text.

    Args:
        tokenizer: a Hugging Face fast tokenizer (`PreTrainedTokenizerFast`).
        more_controls: tokens that count as control tokens though the tokenizer does not call them special.

    Attributes:
        begin: the BOS token, where the tokenizer puts one before a text; else nothing.
        end: the EOS token.

    Raises:
        UserError: the tokenizer is not a fast one, or has no token that ends a text.
    """

    def __init__(self, tokenizer: Any, more_controls: Iterable[str] = ()) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise UserError(f"{tokenizer.name_or_path}: a fast tokenizer (tokenizer.json) is needed")
        if tokenizer.eos_token_id is None:
            raise UserError(f"{tokenizer.name_or_path}: has no eos_token (tokenizer_config.json) to end a text with")
        adds_bos = tokenizer("", add_special_tokens=True)["input_ids"][:1] == [tokenizer.bos_token_id]
        self.begin: list[int] = [tokenizer.bos_token_id] if adds_bos else []
        self.end: list[int] = [tokenizer.eos_token_id]
        backend = tokenizer.backend_tokenizer
        controls = control_tokens(backend) | {token: backend.token_to_id(token) for token in more_controls}
        self._tokenizer = respell(backend, spell_controls(controls, new_mark()))

    def encode(self, texts: Sequence[str]) -> list[npt.NDArray[np.int32]]:
        """The ids of each text, begin and end among them; on all cores, the tokenizer's own threads."""
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array([*self.begin, *one.ids, *self.end], dtype=np.int32) for one in found]
