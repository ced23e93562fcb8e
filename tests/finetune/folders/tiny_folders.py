"""A tiny model in folders of several layouts, and what it computes here and in transformers."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from finetune.folders import weights
from finetune.llama.attention import Documents
from finetune.llama.config import LlamaConfig
from finetune.llama.model import Llama

CONFIG = LlamaConfig(
    vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, rms_norm_eps=1e-5, max_position_embeddings=4096, initializer_range=0.2,
)  # fmt: skip
IDS = torch.randint(0, 90, (25,), generator=torch.Generator().manual_seed(0))


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        if isinstance(model, Llama):
            return model(IDS, torch.arange(len(IDS)), Documents.from_lengths([len(IDS)]))
        out: Tensor = model(IDS[None]).logits[0]
        return out


def transformers_logits(folder: Path) -> Tensor:
    return logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))


def write_meta(folder: Path, shards: int, copies: int = 1, vocabulary: int = 96) -> dict[str, Tensor]:
    """A random checkpoint in Meta's layout, split as for tensor parallelism; `copies` files repeat a key or value."""
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.2

    width, inner, kv = CONFIG.hidden_size, CONFIG.intermediate_size, CONFIG.kv_heads * CONFIG.head_size
    state = {"tok_embeddings.weight": random(vocabulary, width), "norm.weight": 1 + random(width)}
    state |= {"output.weight": random(vocabulary, width), "rope.freqs": torch.zeros(4)}
    split = {"tok_embeddings.weight": 1, "output.weight": 0}
    for layer in range(CONFIG.num_hidden_layers):
        for name, shape, dimension in (
            ("attention.wq", (width, width), 0), ("attention.wk", (kv, width), 0), ("attention.wv", (kv, width), 0),
            ("attention.wo", (width, width), 1), ("feed_forward.w1", (inner, width), 0),
            ("feed_forward.w2", (width, inner), 1), ("feed_forward.w3", (inner, width), 0),
        ):  # fmt: skip
            state[f"layers.{layer}.{name}.weight"] = random(*shape)
            split[f"layers.{layer}.{name}.weight"] = dimension
        state[f"layers.{layer}.attention_norm.weight"] = 1 + random(width)
        state[f"layers.{layer}.ffn_norm.weight"] = 1 + random(width)
    folder.mkdir()
    for shard in range(shards):
        part = {}
        for name, tensor in state.items():
            parts = shards // copies if name.endswith(("wk.weight", "wv.weight")) else shards
            cut = name in split
            part[name] = tensor.chunk(parts, split[name])[shard * parts // shards].clone() if cut else tensor
        torch.save(part, folder / f"consolidated.{shard:02d}.pth")
    params = {"dim": width, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "norm_eps": 1e-5, "vocab_size": -1}
    (folder / "params.json").write_text(json.dumps(params))
    return state


def save(config: LlamaConfig, seed: int, folder: Path) -> Llama:
    model = weights.init_model(config, seed)
    weights.save_model(model.state_dict(), config, folder)
    return model
