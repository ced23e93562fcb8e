"""What a model folder holds besides the weights: the tokenizer, the template, the tokens that end an answer."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from camelid.files.read import file_hash
from camelid.message import Message
from conversations.tokens.open_tokenizer import open_tokenizer
from conversations.tokens.template import get_template, template_from_tokenizer
from conversations.tokens.tokenize import Encoder
from finetune.folders import weights
from finetune.folders.generation_config import end_ids_of_folder, find_end_ids
from finetune.folders.vocabulary import require_rows
from finetune.llama.model import Llama


@dataclass(frozen=True)
class ChatTokenizer:
    """How a model reads and writes text.

    Attributes:
        tokenizer: a fast one.
        encoder: writes chats by the model's template.
        end_ids: tokens that end an answer.
    """

    tokenizer: Any
    encoder: Encoder
    end_ids: list[int]


def open_chat_tokenizer(folder: Path, template: str | None = None) -> ChatTokenizer:
    """Load a folder's tokenizer, which carries the template as its chat template, or use the template named.

    Raises:
        UserError: no tokenizer, a template that is not known, or one with tokens that the model has no row for.
    """
    tokenizer = open_tokenizer(folder)
    encoder = Encoder(get_template(template) if template else template_from_tokenizer(tokenizer), tokenizer)
    own_ends = find_end_ids(tokenizer, encoder.template)
    if (folder / "config.json").is_file():
        require_rows([*encoder.encode_prompt([Message("user", "Hi")]), *own_ends[:1]], tokenizer, folder)
    ends = list(dict.fromkeys([*own_ends, *end_ids_of_folder(folder)]))
    return ChatTokenizer(tokenizer, encoder, ends)


def open_weights(folder: Path) -> Llama:
    """Our own model: on a GPU if there is one, in bfloat16, else on the CPU in float32."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    return weights.load_model(folder, dtype=dtype, device=device).eval()


def folder_fingerprint(folders: Iterable[Path]) -> str:
    """A short hash of the weights in these folders."""
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix in (".safetensors", ".bin")]
    return hashlib.sha256("".join(map(file_hash, files)).encode()).hexdigest()[:12]
