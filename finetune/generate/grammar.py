"""Answers that keep to a grammar, through llguidance: of each token it says which may come next.

Shapes: B answers, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camelid.errors import UserError


class GrammarError(Exception):
    """A grammar that cannot be kept to; the message says what in it."""


class GrammarTokenizer:
    """A model's vocabulary as llguidance wants it; making one takes a second, so make one for each model.

    Args:
        tokenizer: a Hugging Face fast tokenizer.
        vocab_size: V, the model's.
        end_ids: tokens that end an answer, allowed where a grammar may end.

    Raises:
        UserError: llguidance is not installed.
    """

    def __init__(self, tokenizer: Any, vocab_size: int, end_ids: Sequence[int]) -> None:
        try:
            from llguidance.hf import from_tokenizer
        except ImportError:
            raise UserError("llguidance is not installed; run: pip install 'camelid[serve]'") from None
        self.tokens = from_tokenizer(tokenizer, n_vocab=vocab_size, eos_token=list(end_ids))


class Grammar:
    """What answers may say; it is compiled once for all of them.

    Args:
        source: in llguidance's own form.
        tokenizer: of the model.

    Raises:
        GrammarError: it cannot be kept to.
    """

    def __init__(self, source: str, tokenizer: GrammarTokenizer) -> None:
        from llguidance import LLMatcher

        self._matcher = LLMatcher(tokenizer.tokens, source, log_level=0)
        if self._matcher.is_error():
            raise GrammarError(self._matcher.get_error())

    def matcher(self) -> Any:
        """Where an answer begins."""
        return self._matcher.deep_copy()


def forbid(logits_BV: Tensor, matchers: Sequence[Any]) -> Tensor:
    """The logits with -inf for what no grammar lets come next; answers without one have None for a matcher."""
    rows = [row for row, matcher in enumerate(matchers) if matcher is not None]
    if not rows:
        return logits_BV
    from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

    vocabulary = logits_BV.shape[-1]
    masks = allocate_token_bitmask(len(rows), vocabulary)
    for place, row in enumerate(rows):
        fill_next_token_bitmask(matchers[row], masks, place)
    forbidden = np.unpackbits(~masks.view(np.uint8), axis=1, count=vocabulary, bitorder="little")
    forbidden_RV = torch.from_numpy(forbidden.view(np.bool_)).to(logits_BV.device)
    if len(rows) == len(matchers):
        return logits_BV.masked_fill(forbidden_RV, float("-inf"))
    logits_BV = logits_BV.clone()
    logits_BV[rows] = logits_BV[rows].masked_fill(forbidden_RV, float("-inf"))
    return logits_BV
