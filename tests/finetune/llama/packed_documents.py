"""A small LLaMA, and documents packed for it."""

import torch
from torch import Tensor

from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama

BASE = LlamaConfig(
    vocab_size=101,
    hidden_size=48,
    intermediate_size=80,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=128,
    initializer_range=0.2,  # large, so that differences show
)
LENGTHS = [7, 1, 30, 12]


def packed(model: Llama, documents: list[Tensor]) -> Tensor:
    positions = torch.cat([torch.arange(len(document)) for document in documents])
    out: Tensor = model(torch.cat(documents), positions, Documents.from_lengths([len(d) for d in documents]))
    return out


def random_documents(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, BASE.vocab_size, (length,), generator=generator) for length in LENGTHS]
