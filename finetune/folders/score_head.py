"""The score layer of a reward model: how it begins, and a padding token that transformers can read scores with."""

import math
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from camelid.errors import UserError
from finetune.llama.config import LlamaConfig

SCORE = "score.weight"


def with_score(config: LlamaConfig) -> LlamaConfig:
    """The shape of a model with a score layer in the place of its output layer."""
    return config if config.num_labels else replace(config, num_labels=1, tie_word_embeddings=False)


def new_score(config: LlamaConfig, seed: int) -> Tensor:
    """(1, D) normal with standard deviation 1 / sqrt(D + 1) (Stiennon et al. 2020, section 3.4); the same for a seed.

    LLaMA 2 doesn't say how its layer begins.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, config.hidden_size, generator=generator) / math.sqrt(config.hidden_size + 1)


def set_safe_padding(tokenizer: Any, end_ids: Collection[int]) -> int:
    """Give a tokenizer a padding token that no answer ends with, in place; return its id.

    transformers reads a score at the last token that is not padding, whatever the attention mask says: with padding
    that is also an end of turn it reads the token before it.

    Args:
        tokenizer: its own padding token stays if it will do; else it is the one that begins texts, or any other special
            token.
        end_ids: tokens that end an answer.

    Raises:
        UserError: it has no special token but those that end answers.
    """
    others = [tokenizer.pad_token, tokenizer.bos_token, tokenizer.unk_token]
    for token in [*others, *sorted(tokenizer.added_tokens_encoder)]:
        number = tokenizer.convert_tokens_to_ids(token) if token is not None else None
        if number is not None and number not in end_ids and tokenizer.added_tokens_decoder.get(number) is not None:
            tokenizer.pad_token = token
            return int(number)
    raise UserError(
        "the tokenizer has no special token that ends no answer, to pad with; add one: "
        "`camelid weights resize MODEL OUTPUT --add-tokens '<pad>'`"
    )
