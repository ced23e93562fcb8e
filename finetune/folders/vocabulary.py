"""Rows of the embedding: whether every token has one, and more of them, which start as the mean of the old."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from camelid.errors import UserError
from finetune.folders import weights
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama


def require_rows(ids: Sequence[int] | npt.NDArray[np.int64], tokenizer: Any, folder: str | Path) -> None:
    """Refuse tokens that a model's embedding has no row for.

    Args:
        ids: what is to be trained on or said.
        tokenizer: made them.
        folder: of the model.

    Raises:
        UserError: names the last of them, and the command that makes room.
    """
    highest, rows = int(np.max(ids)), LlamaConfig.from_folder(folder).vocab_size
    if highest >= rows:
        raise UserError(
            f"{folder}: token {tokenizer.convert_ids_to_tokens(highest)!r} has id {highest}, but the embedding has "
            f"{rows} rows; make room with `camelid weights resize {folder} {folder}-resized` and use that folder"
        )


def find_untaught(ids: npt.NDArray[np.int64], folder: str | Path) -> list[int]:
    """Those of the ids whose row of the embedding is still what `resize_vocabulary` began it with.

    Args:
        ids: all that is to be trained on.
        folder: of the model.
    """
    embedding_VD = weights.open_tensors(folder)["model.embed_tokens.weight"]()
    last_D = embedding_VD[-1]
    older = len(embedding_VD)
    while older > 0 and torch.equal(embedding_VD[older - 1], last_D):
        older -= 1
    if older == 0:
        return []
    parts = torch.split(embedding_VD[:older], 8192)
    mean_D = torch.stack([part.float().sum(0) for part in parts]).sum(0) / older
    if not torch.allclose(last_D.float(), mean_D, rtol=2**-7, atol=1e-6):  # two roundings of bfloat16
        return []
    return [int(token) for token in np.unique(ids[ids >= older])]


def resize_vocabulary(model: Llama, tokens: int, multiple_of: int = 1) -> None:
    """Make room for more tokens, in place.

    New rows of the embedding and of the output layer are the mean of all old rows
    (github.com/tatsu-lab/stanford_alpaca, train.py, smart_tokenizer_and_embedding_resize): the new tokens then
    start with average chances, where random rows would disturb every prediction.

    Args:
        model: its config changes with it.
        tokens: the vocabulary's new size.
        multiple_of: round the number of rows up to a multiple, 64 for instance, which matrix units like.

    Raises:
        UserError: the vocabulary would shrink.
    """
    rows = math.ceil(tokens / multiple_of) * multiple_of
    if rows < model.config.vocab_size:
        raise UserError(f"the vocabulary has {model.config.vocab_size} tokens; it cannot shrink to {rows}")
    model.model.embed_tokens.weight = nn.Parameter(grow_rows(model.model.embed_tokens.weight.detach(), rows))
    model.model.embed_tokens.num_embeddings = rows
    if not model.config.num_labels:  # a score layer knows no tokens
        if model.config.tie_word_embeddings:
            model.lm_head.weight = model.model.embed_tokens.weight
        else:
            model.lm_head.weight = nn.Parameter(grow_rows(model.lm_head.weight.detach(), rows))
        model.lm_head.out_features = rows
    model.config = replace(model.config, vocab_size=rows)


def grow_rows(matrix_VD: Tensor, rows: int) -> Tensor:
    """The matrix with rows added that hold its mean row."""
    mean_1D = matrix_VD.float().mean(0, keepdim=True).to(matrix_VD.dtype)
    return torch.cat([matrix_VD, mean_1D.expand(rows - len(matrix_VD), -1)])
