"""A model folder, opened to be served."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from camelid.errors import UserError
from camelid.files.paths import suggest_path
from conversations.tokens.tokenize import Encoder
from finetune.folders.merge import load_adapted
from finetune.folders.open_folder import folder_fingerprint, open_chat_tokenizer, open_weights
from finetune.generate.slots import round_up
from finetune.llama.model import Llama

MOST_CACHE = 0.8, 0.25  # shares of free GPU memory, or of a CPU's memory, that keys and values take by themselves


@dataclass(frozen=True)
class ServedModel:
    """What answering needs.

    Attributes:
        name: what clients call it.
        fingerprint: of its weights.
        model: the weights.
        tokenizer, encoder, end_ids: as in `ChatTokenizer`.
    """

    name: str
    fingerprint: str
    model: Llama
    tokenizer: Any
    encoder: Encoder
    end_ids: list[int]

    @property
    def longest_token(self) -> int:
        """Characters; so a text of n characters has at least n / longest_token tokens."""
        return max(len(piece) for piece in self.tokenizer.get_vocab())


def open_served(
    folder: str | Path, name: str | None = None, adapter: str | None = None, template: str | None = None
) -> ServedModel:
    """Load a model folder.

    Args:
        folder: Hugging Face layout.
        name: what clients shall call it; None takes the folder as it was given.
        adapter: a PEFT folder to add to the weights.
        template: where the tokenizer carries none.

    Raises:
        UserError: no model folder, no tokenizer, an adapter that doesn't fit, or a chat template that is not known.
    """
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise UserError(f"{folder}: no model folder (it has no config.json){suggest_path(path)}")
    words = open_chat_tokenizer(path, template)
    model = open_weights(path) if adapter is None else load_adapted(path, adapter, open_weights)
    digest = folder_fingerprint([path] if adapter is None else [path, Path(adapter)])
    return ServedModel(
        name or str(folder).rstrip("/"), digest, model.eval(), words.tokenizer, words.encoder, words.end_ids
    )


def cache_tokens(model: Llama, most_batch: int) -> int:
    """Tokens of keys and values that fit into memory beside the model, at most `most_batch` full contexts."""
    config, weight = model.config, model.lm_head.weight
    one = 2 * config.num_hidden_layers * config.kv_heads * config.head_size * weight.element_size()
    if weight.is_cuda:
        memory = MOST_CACHE[0] * torch.cuda.mem_get_info(weight.device)[0]
    else:
        memory = MOST_CACHE[1] * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(most_batch * round_up(config.context), int(memory / one))
