"""A model folder, opened to be served."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from camelid.errors import UserError
from camelid.files.model_name import model_name
from camelid.files.paths import suggest_path
from conversations.tokens.infill import InfillEncoder
from conversations.tokens.open_tokenizer import open_tokenizer
from conversations.tokens.tokenize import Encoder
from finetune.folders.generation_config import end_ids_of_folder, find_end_ids
from finetune.folders.merge import load_adapted
from finetune.folders.open_folder import folder_fingerprint, open_chat_tokenizer, open_weights
from finetune.folders.vocabulary import require_rows
from finetune.generate.low_rank import LowRankAdapter
from finetune.generate.slots import round_up
from finetune.llama.model import Llama

MOST_CACHE = 0.8, 0.25  # shares of free GPU memory, or of a CPU's memory, that keys and values take by themselves
KEPT = 0.25  # beside what is being written, so many times its tokens are kept of earlier chats


@dataclass(frozen=True)
class ServedModel:
    """What answering needs.

    Attributes:
        name: what clients call it.
        fingerprint: of its weights.
        model: the weights.
        tokenizer: as in `ChatTokenizer`.
        encoder: writes chats by the model's template; or why it has none, as a base hasn't.
        end_ids: as in `ChatTokenizer`, and what ends a middle.
        infill: encodes texts with a hole; or why the model cannot fill one.
        folder: of the weights.
        adapter: what is added to the weights for its answers alone, while others share them.
        base: the name of the model that has these weights, of an adapter.
        system: the system message of chats that have none.
    """

    name: str
    fingerprint: str
    model: Llama
    tokenizer: Any
    encoder: Encoder | UserError
    end_ids: list[int]
    infill: InfillEncoder | UserError
    folder: Path = Path()
    adapter: LowRankAdapter | None = None
    base: str | None = None
    system: str | None = None

    @property
    def anchor(self) -> tuple[int, ...]:
        """An ordinary token, for `Sampling.after`."""
        return tuple(self.tokenizer("x", add_special_tokens=False)["input_ids"][-1:])

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
        name: what clients shall call it; None takes what people call it (`model_name`).
        adapter: a PEFT folder to add to the weights.
        template: for chats, where the tokenizer carries none.

    Raises:
        UserError: no model folder, no tokenizer, an adapter that doesn't fit, or a chat template that cannot be used.
    """
    path = Path(folder)
    if not (path / "config.json").is_file():
        raise UserError(f"{folder}: no model folder (it has no config.json){suggest_path(path)}")
    tokenizer, encoder, ends = _open_words(path, template)
    model = open_weights(path) if adapter is None else load_adapted(path, adapter, open_weights)
    digest = folder_fingerprint([path] if adapter is None else [path, Path(adapter)])
    infill = open_infill(tokenizer, path)
    if not isinstance(infill, UserError):
        ends = list(dict.fromkeys([*ends, infill.end_id]))
    name = name or model_name(folder)
    return ServedModel(name, digest, model.eval(), tokenizer, encoder, ends, infill, path)


def _open_words(folder: Path, template: str | None) -> tuple[Any, Encoder | UserError, list[int]]:
    """Tokenizer, encoder of chats and what ends an answer."""
    tokenizer = open_tokenizer(folder)
    if template is not None or tokenizer.chat_template:
        words = open_chat_tokenizer(folder, template)
        return words.tokenizer, words.encoder, words.end_ids
    missing = UserError(f"{folder}: a model without a chat template takes no chats; name one with --template")
    return tokenizer, missing, list(dict.fromkeys([*find_end_ids(tokenizer, None), *end_ids_of_folder(folder)]))


def open_infill(tokenizer: Any, folder: Path) -> InfillEncoder | UserError:
    """What encodes texts with a hole; or why the model of a folder cannot fill one."""
    try:
        infill = InfillEncoder(tokenizer)
        require_rows(infill.prompt("", ""), tokenizer, folder)
    except UserError as error:
        return error
    return infill


def cache_tokens(model: Llama, most_batch: int) -> int:
    """Tokens of keys and values that fit into memory beside the model, at most `most_batch` full contexts."""
    config, weight = model.config, model.lm_head.weight
    one = 2 * config.num_hidden_layers * config.kv_heads * config.head_size * weight.element_size()
    if weight.is_cuda:
        memory = MOST_CACHE[0] * torch.cuda.mem_get_info(weight.device)[0]
    else:
        memory = MOST_CACHE[1] * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(most_batch * round_up(config.context), int(memory / one / (1 + KEPT)))
